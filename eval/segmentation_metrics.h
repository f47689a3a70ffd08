// SPDX-License-Identifier: Apache-2.0
// The former place of the segmentation metrics.
#pragma once

#include "eval/segmentation/confusion.h"
#include "eval/segmentation/image_scores.h"
