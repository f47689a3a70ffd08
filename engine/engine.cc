// SPDX-License-Identifier: Apache-2.0
// Sources are listed by the subfolders; a library needs one of its own.
