// SPDX-License-Identifier: Apache-2.0
// EOSIN_CLONES before a function: compiled for AVX2 too, and chosen at start-up on machines that
// have it. AVX2 without FMA: results stay equal to the last bit. Elsewhere (other processors,
// sanitizers, whose start-up comes too late for the choice) it is one plain function.
#pragma once

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define EOSIN_CLONES __attribute__((target_clones("avx2", "default")))
#else
#define EOSIN_CLONES
#endif
