// SPDX-License-Identifier: Apache-2.0
// The subcommands of `eosin`. Each parses its arguments (argv[0] is the subcommand's name), calls
// one library function and returns the exit code; user errors leave as core::Error.
#pragma once

namespace eosin::tools {

// In `eosin` (no LibTorch).
int RunTile(int argc, char** argv);
int RunSynth(int argc, char** argv);
int RunVerify(int argc, char** argv);
int RunStain(int argc, char** argv);
int RunInspect(int argc, char** argv);
int RunDoctor(int argc, char** argv);

// In `eosin-torch`, which `eosin` runs on demand.
int RunPretrainCommand(int argc, char** argv);
int RunEvalCommand(int argc, char** argv);
int RunSegmentCommand(int argc, char** argv);
int RunStudyCommand(int argc, char** argv);
int RunPredictCommand(int argc, char** argv);  // with slides
int RunBenchCommand(int argc, char** argv);
int RunBenchThroughput(int argc, char** argv);  // behind it
int RunTorchDoctor(int argc, char** argv);

}  // namespace eosin::tools
