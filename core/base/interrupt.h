// SPDX-License-Identifier: Apache-2.0
// SIGINT and SIGTERM set a flag; loops look at it between steps, save and leave with exit code 130.
// A second SIGINT ends the program at once.
#pragma once

namespace eosin::core {

void InstallInterruptHandler();
bool InterruptRequested();
void ThrowIfInterrupted();  // InterruptedError

}  // namespace eosin::core
