/* A stand-in for mrpeek, for tests where its source cannot be had: an external module of MRtrix3 that draws the middle
   slice of an image as a sixel picture, patient's left on the right, and takes the options that the tests use. */

#include "command.h"
#include "image.h"

using namespace MR;
using namespace App;

const int levels = 32;

void usage ()
{
  AUTHOR = "the provision founders";
  SYNOPSIS = "draw a slice of an image in sixels, standing in for mrpeek";

  ARGUMENTS
  + Argument ("in", "the input image.").type_image_in();

  OPTIONS
  + Option ("batch", "ignored")
  + Option ("axial", "ignored")
  + Option ("notext", "ignored")
  + Option ("nocrosshairs", "ignored")
  + Option ("intensity_range", "the intensities that are black and white")
  +   Argument ("min").type_float()
  +   Argument ("max").type_float();
}


void run ()
{
  auto image = Image<float>::open (argument[0]);
  auto opt = get_options ("intensity_range");
  const float lowest = opt.size() ? float (opt[0][0]) : 0.0f, highest = opt.size() ? float (opt[0][1]) : 1.0f;
  image.index(2) = image.size(2) / 2;

  std::string out = "\033Pq";
  for (int level = 0; level < levels; ++level) {
    const std::string percent = str (std::round (100.0 * level / (levels-1)));
    out += "#" + str(level) + ";2;" + percent + ";" + percent + ";" + percent;
  }
  const int width = image.size(0), height = image.size(1);
  for (int top = 0; top < height; top += 6) {
    for (int level = 0; level < levels; ++level) {
      out += "#" + str(level);
      for (int x = 0; x < width; ++x) {
        int bits = 0;
        for (int row = 0; row < 6 && top+row < height; ++row) {
          image.index(0) = width-1-x;
          image.index(1) = height-1-top-row;
          const float grey = (image.value() - lowest) / (highest - lowest);
          if (int (std::round (std::min (std::max (grey, 0.0f), 1.0f) * (levels-1))) == level)
            bits |= 1 << row;
        }
        out += char (63 + bits);
      }
      out += "$";
    }
    out += "-";
  }
  std::cout << out << "\033\\\n";
}
