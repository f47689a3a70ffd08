// SPDX-License-Identifier: Apache-2.0
#include "tiling/batch/slide_list.h"

#include <algorithm>

#include "core/base/files.h"
#include "tests/testing.h"

namespace eosin::tiling {
namespace {

namespace fs = std::filesystem;
using core::ExitCode;
using eosin::testing::ExpectError;
using eosin::testing::TempFolder;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A folder with empty files: finding slides opens none.
class SlideList : public ::testing::Test {
 protected:
  void Touch(const std::string& name) {
    core::MakeFolder((folder_ / name).parent_path());
    core::WriteFileAtomic(folder_ / name, "");
  }
  std::vector<SlideEntry> Read(const std::string& text) {
    core::WriteFileAtomic(folder_ / "list.csv", text);
    return ReadSlideList(folder_ / "list.csv", folders_);
  }
  void Refused(const std::string& text, const std::string& says) {
    ExpectError([&] { Read(text); }, ExitCode::kBadInput, says);
  }
  std::string HintOf(const std::string& text) {
    try {
      Read(text);
    } catch (const core::Error& error) {
      return error.hint();
    }
    return "no error";
  }

  TempFolder folder_;
  std::vector<fs::path> folders_;
};

std::vector<std::string> Names(const std::vector<SlideEntry>& entries) {
  std::vector<std::string> names;
  for (const SlideEntry& entry : entries) names.push_back(entry.slide.filename().string());
  return names;
}

TEST_F(SlideList, ReadsEveryColumn) {
  Touch("a.svs");
  Touch("sub/b, c.svs");
  Touch("regions/a.geojson");
  // Byte order mark, CRLF, a quoted comma, an ignored column, spaces, an empty last row.
  const auto entries = Read(
      "\xEF\xBB\xBFslide,MPP,annotation,class,patient,remark\r\n"
      "a.svs,0.25,regions/a.geojson,tumor,P 1,\"says \"\"so\"\"\"\r\n"
      "\"sub/b, c.svs\", ,, benign ,,\r\n"
      ",,,,,\r\n");
  ASSERT_EQ(entries.size(), 2U);
  EXPECT_EQ(entries[0].slide, folder_ / "a.svs");
  EXPECT_DOUBLE_EQ(entries[0].mpp, 0.25);
  EXPECT_EQ(entries[0].annotation, folder_ / "regions/a.geojson");
  EXPECT_EQ(entries[0].class_name, "tumor");
  EXPECT_EQ(entries[0].patient, "P 1");
  EXPECT_EQ(entries[1].slide, folder_ / "sub/b, c.svs");
  EXPECT_EQ(entries[1].Stem(), "b, c");
  EXPECT_EQ(entries[1].mpp, 0);
  EXPECT_TRUE(entries[1].annotation.empty());
  EXPECT_EQ(entries[1].class_name, "benign");
  EXPECT_EQ(entries[1].patient, "");
}

TEST_F(SlideList, KnowsTheNamesOfOtherTools) {
  Touch("slides/x/TCGA-01.A.svs");
  folders_ = {folder_ / "slides"};
  // CLAM's data set list: ids without extension, looked for in the folders.
  auto entries = Read("case_id,slide_id,label\nP1,TCGA-01.A,1\n");
  ASSERT_EQ(entries.size(), 1U);
  EXPECT_EQ(entries[0].slide, folder_ / "slides/x/TCGA-01.A.svs");
  EXPECT_EQ(entries[0].patient, "P1");
  EXPECT_EQ(entries[0].class_name, "1");
  EXPECT_EQ(Read("wsi,mpp\nTCGA-01.A.svs,0.5\n")[0].mpp, 0.5);  // TRIDENT
  EXPECT_EQ(Read("filename\nx/TCGA-01.A.svs\n").size(), 1U);
  EXPECT_EQ(Read("Slide_ID,patient_id\nTCGA-01.A,7\n")[0].patient, "7");
}

TEST_F(SlideList, TakesClamsProcessListAsItIs) {
  for (const char* name : {"a.svs", "c.svs"}) Touch(name);
  const auto entries = Read(
      "slide_id,process,status,seg_level,sthresh,mthresh,close,use_otsu,keep_ids,exclude_ids,a_t,"
      "a_h,max_n_holes,vis_level,line_thickness,white_thresh,black_thresh,use_padding,contour_fn\n"
      "a.svs,1,tbp,-1,8,7,4,False,none,none,100.0,16.0,8,-1,100,5,50,True,four_pt\n"
      "gone.svs,0,processed,-1,8,7,4,False,none,none,100.0,16.0,8,-1,100,5,50,True,four_pt\n"
      "c.svs,1.0,tbp,-1,8,7,4,False,none,none,100.0,16.0,8,-1,100,5,50,True,four_pt\n");
  EXPECT_THAT(Names(entries), ElementsAre("a.svs", "c.svs"));
}

TEST_F(SlideList, SuggestsTheNameThatWasMeant) {
  Touch("a.svs");
  Refused("slide,anotation\na.svs,\n", "line 1: unknown column anotation");
  EXPECT_EQ(HintOf("slide,anotation\na.svs,\n"), "did you mean annotation?");
  EXPECT_EQ(HintOf("slide,annotaitons\na.svs,\n"), "did you mean annotation?");
  EXPECT_EQ(HintOf("slide,lable\na.svs,\n"), "did you mean label?");
  EXPECT_EQ(HintOf("slide,mmp\na.svs,\n"), "did you mean mpp?");
  // Words of their own are other columns.
  EXPECT_EQ(Read("slide,map,glass,slice\na.svs,,,\n").size(), 1U);
  EXPECT_EQ(HintOf("slide,mpp_x\na.svs,\n"), "did you mean mpp?");
  EXPECT_EQ(HintOf("slides\na.svs\n"), "did you mean slide?");
  EXPECT_THAT(HintOf("slide;mpp\na.svs;1\n"), HasSubstr("commas"));
  Refused("name,mpp\na.svs,1\n", "no column named slide");
  Refused("slide,patient\na.svs,M\xFCller\n", "line 2: the patient is not Unicode text");
  Refused("slide,label,class\na.svs,1,2\n", "label and class both give the class");
}

TEST_F(SlideList, NamesTheLineOfWhatIsWrong) {
  Touch("a.svs");
  Touch("sub/a.svs");
  Touch("b.svs");
  for (const char* mpp : {"0", "-1", "0,25", "nan", "inf", "1e9", "0.25um", "0x1"}) {
    Refused(std::string("slide,mpp\nb.svs,\na.svs,\"") + mpp + "\"\n", "line 3: mpp is");
  }
  Refused("slide\na.svs\nsub/a.svs\n", "lines 2 and 3 would both become a.h5");
  Refused("slide\nb.svs\nc.svs\n", "line 3: there is no slide c.svs in");
  Refused("slide,annotation\nb.svs,no.xml\n", "line 2: there is no annotation file no.xml");
  Refused("slide,process\nb.svs,maybe\n", "line 2: process is maybe");
  Refused("slide,mpp\n,0.5\n", "line 2: the slide is empty");
  Refused("slide\nsub\n", "line 2: there is no slide sub");  // a folder
  // A line break inside quotes counts.
  Refused("slide,remark\na.svs,\"two\nlines\"\nc.svs,\n", "line 4: there is no slide c.svs");
  Refused("slide\n\"a\nb.svs\"\n", "line 2: this is no path");
  Refused("slide,mpp\nb.svs\n", "line 2: 1 cells");
  folders_ = {folder_.path()};
  Refused("slide\na\n", "can be");  // a.svs or sub/a.svs
}

TEST_F(SlideList, RefusesListsOfAbsurdSize) {
  core::WriteFileAtomic(folder_ / "list.csv", "slide\n");
  fs::resize_file(folder_ / "list.csv", (uintmax_t{64} << 20) + 1);  // a hole
  ExpectError([&] { ReadSlideList(folder_ / "list.csv", {}); }, ExitCode::kBadInput, "bytes");
}

TEST_F(SlideList, FindsSlidesInFoldersOnce) {
  for (const char* name : {"b.svs", "x/a.tif", "x/notes.txt", ".hidden.svs", "odd.dat"})
    Touch(name);
  EXPECT_THAT(Names(FindSlides({folder_.path(), folder_ / "x/../b.svs"})),
              ElementsAre("b.svs", "a.tif"));
  EXPECT_THAT(Names(FindSlides({folder_ / "odd.dat"})), ElementsAre("odd.dat"));
  ExpectError([&] { FindSlides({folder_ / "none"}); }, ExitCode::kBadInput, "no such slide");
  core::MakeFolder(folder_ / "empty");
  ExpectError([&] { FindSlides({folder_ / "empty"}); }, ExitCode::kBadInput, "no slide in folder");
  Touch("y/a.svs");
  ExpectError([&] { FindSlides({folder_.path()}); }, ExitCode::kBadInput, "both become a.h5");
}

TEST(TakeShard, CutsAListIntoDisjointParts) {
  for (const int count : {0, 1, 5, 24}) {
    std::vector<SlideEntry> all(static_cast<size_t>(count));
    for (int i = 0; i < count; ++i) {
      all[static_cast<size_t>(i)].slide = std::to_string(i) + ".svs";
    }
    for (const int n : {1, 2, 7, 30}) {
      std::vector<std::string> together;
      for (int i = 1; i <= n; ++i) {
        const auto names = Names(TakeShard(all, i, n));
        EXPECT_LE(names.size(), static_cast<size_t>((count + n - 1) / n));
        together.insert(together.end(), names.begin(), names.end());
      }
      std::sort(together.begin(), together.end());
      auto expected = Names(all);
      std::sort(expected.begin(), expected.end());
      EXPECT_EQ(together, expected) << count << " in " << n;
    }
  }
  for (const auto& [i, n] : {std::pair{0, 4}, {5, 4}, {1, 0}, {-1, -1}}) {
    ExpectError([i = i, n = n] { TakeShard({}, i, n); }, ExitCode::kUsage, "shard");
  }
}

}  // namespace
}  // namespace eosin::tiling
