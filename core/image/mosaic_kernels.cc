// SPDX-License-Identifier: Apache-2.0
#include "core/image/mosaic_kernels.h"

#include <algorithm>
#include <cstring>

#if defined(__x86_64__) && defined(__GNUC__)
#define EOSIN_X86 1
#include <immintrin.h>
#endif

namespace eosin::core {
namespace {

constexpr int kShift = kLineBits + kAcrossBits;
constexpr int kHalf = 1 << (kShift - 1);

// What the floors of the taps lose on average.
int Bias(int taps) { return std::min(taps / 2, 64); }

void FilterDownRange(const DownPass& pass, int begin, int end) {
  const int bias = Bias(pass.taps);
  for (int i = begin; i < end; ++i) {
    uint32_t sum = static_cast<uint32_t>(bias);
    for (int k = 0; k < pass.taps; ++k) {
      sum += (pass.rows[k][i] * (pass.weights[k] & 0xFFFFu)) >> (kDownBits - kLineBits);
    }
    pass.out[i] = static_cast<int16_t>(sum);
  }
}

}  // namespace

void FilterDownPlain(const DownPass& pass) { FilterDownRange(pass, 0, pass.count); }

void FilterAcrossPlain(const AcrossPass& pass) {
  for (int i = 0; i < pass.outputs; ++i) {
    const int group = i / 4, lane = i % 4;
    int sum[3] = {kHalf, kHalf, kHalf};
    for (int k = 0; k < pass.pairs[group]; ++k) {
      const int16_t* w =
          pass.weights + 16 * (2 * (group * pass.stride + k) + (lane & 1)) + 8 * (lane >> 1);
      const int16_t* in = pass.line + pass.first[i] + 6 * k;
      for (int c = 0; c < 3; ++c) sum[c] += in[c] * w[0] + in[c + 3] * w[1];
    }
    for (int c = 0; c < 3; ++c) {
      pass.out[3 * i + c] = static_cast<uint8_t>(std::min(sum[c] >> kShift, 255));
    }
  }
}

#ifdef EOSIN_X86

bool HaveAvx2() { return __builtin_cpu_supports("avx2"); }

// Even and odd bytes are filtered apart as v * 2^8, so that the high half of a 16-bit product is
// the tap, and zipped at the end.
__attribute__((target("avx2"))) void FilterDownAvx2(const DownPass& pass) {
  const __m256i bias = _mm256_set1_epi16(static_cast<int16_t>(Bias(pass.taps)));
  const __m256i odd_mask = _mm256_set1_epi16(static_cast<int16_t>(0xFF00));
  const int whole = pass.count & ~31;
  for (int i = 0; i < pass.count;) {
    if (i == whole) {  // the rest: again from the last 32 values on
      if (pass.count < 32) break;
      i = pass.count - 32;
    }
    __m256i even = bias, odd = bias;
    for (int k = 0; k < pass.taps; ++k) {
      const __m256i v = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(pass.rows[k] + i));
      const __m256i w = _mm256_set1_epi32(static_cast<int>(pass.weights[k]));
      even = _mm256_add_epi16(even, _mm256_mulhi_epu16(_mm256_slli_epi16(v, 8), w));
      odd = _mm256_add_epi16(odd, _mm256_mulhi_epu16(_mm256_and_si256(v, odd_mask), w));
    }
    const __m256i low = _mm256_unpacklo_epi16(even, odd);
    const __m256i high = _mm256_unpackhi_epi16(even, odd);
    __m256i* out = reinterpret_cast<__m256i*>(pass.out + i);
    _mm256_storeu_si256(out, _mm256_permute2x128_si256(low, high, 0x20));
    _mm256_storeu_si256(out + 1, _mm256_permute2x128_si256(low, high, 0x31));
    i += 32;
  }
  if (pass.count < 32) FilterDownRange(pass, 0, pass.count);
}

__attribute__((target("avx2"))) void FilterAcrossAvx2(const AcrossPass& pass) {
  // r0 g0 b0 r1 g1 b1 . . -> r0 r1 g0 g1 b0 b1 0 0
  const __m256i zip = _mm256_setr_epi8(0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11, -1, -1, -1, -1, 0, 1,
                                       6, 7, 2, 3, 8, 9, 4, 5, 10, 11, -1, -1, -1, -1);
  const __m256i pack = _mm256_setr_epi8(0, 1, 2, 4, 5, 6, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 0,
                                        1, 2, 4, 5, 6, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
  const __m256i half = _mm256_set1_epi32(kHalf);
  const int groups = (pass.outputs + 3) / 4;
  for (int g = 0; g < groups; ++g) {
    const int* first = pass.first + 4 * g;
    const __m256i* w = reinterpret_cast<const __m256i*>(pass.weights) + 2 * g * pass.stride;
    __m256i sum[2] = {half, half};
    for (int k = 0; k < pass.pairs[g]; ++k) {
      for (int h = 0; h < 2; ++h) {
        const auto* a = reinterpret_cast<const __m128i*>(pass.line + first[h] + 6 * k);
        const auto* b = reinterpret_cast<const __m128i*>(pass.line + first[h + 2] + 6 * k);
        __m256i v = _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128(a)),
                                            _mm_loadu_si128(b), 1);
        v = _mm256_madd_epi16(_mm256_shuffle_epi8(v, zip), _mm256_loadu_si256(w + 2 * k + h));
        sum[h] = _mm256_add_epi32(sum[h], v);
      }
    }
    __m256i bytes =
        _mm256_packs_epi32(_mm256_srai_epi32(sum[0], kShift), _mm256_srai_epi32(sum[1], kShift));
    bytes = _mm256_shuffle_epi8(_mm256_packus_epi16(bytes, bytes), pack);
    uint8_t* out = pass.out + 12 * g;
    if (g + 1 < groups) {  // two bytes too many, which the next store mends
      _mm_storel_epi64(reinterpret_cast<__m128i*>(out), _mm256_castsi256_si128(bytes));
      _mm_storel_epi64(reinterpret_cast<__m128i*>(out + 6), _mm256_extracti128_si256(bytes, 1));
    } else {
      uint8_t last[16];
      _mm_storel_epi64(reinterpret_cast<__m128i*>(last), _mm256_castsi256_si128(bytes));
      _mm_storel_epi64(reinterpret_cast<__m128i*>(last + 6), _mm256_extracti128_si256(bytes, 1));
      std::memcpy(out, last, static_cast<size_t>(3 * (pass.outputs - 4 * g)));
    }
  }
}

#else

bool HaveAvx2() { return false; }
void FilterDownAvx2(const DownPass& pass) { FilterDownPlain(pass); }
void FilterAcrossAvx2(const AcrossPass& pass) { FilterAcrossPlain(pass); }

#endif

DownKernel BestDownKernel() { return HaveAvx2() ? FilterDownAvx2 : FilterDownPlain; }
AcrossKernel BestAcrossKernel() { return HaveAvx2() ? FilterAcrossAvx2 : FilterAcrossPlain; }

}  // namespace eosin::core
