// SPDX-License-Identifier: BSD-3-Clause
// Computes how well text of one colour can be read upon another.

'use strict';

function channels(hex) {
  const body = hex.replace(/^#/, '');
  const long = body.length === 3 ? [...body].map((c) => c + c).join('') : body;
  if (!/^[0-9a-f]{6}$/i.test(long)) {
    throw new TypeError(`${hex} is not a colour such as #1a2b3c`);
  }
  return [0, 2, 4].map((start) => parseInt(long.slice(start, start + 2), 16) / 255);
}

function luminance(hex) {
  const [red, green, blue] = channels(hex).map((value) =>
    value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4,
  );
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function contrast(first, second) {
  const [dark, light] = [luminance(first), luminance(second)].sort((a, b) => a - b);
  return (light + 0.05) / (dark + 0.05);
}

// Darkens the foreground step by step until the wanted ratio has been reached.
function darkenUntil(foreground, background, wanted = 4.5) {
  let parts = channels(foreground);
  const write = () =>
    '#' + parts.map((v) => Math.round(v * 255).toString(16).padStart(2, '0')).join('');
  while (contrast(write(), background) < wanted) {
    if (parts.every((v) => v < 0.002)) {
      throw new RangeError(`no shade of ${foreground} reaches ${wanted} on ${background}`);
    }
    parts = parts.map((v) => v * 0.95);
  }
  return write();
}

module.exports = { contrast, darkenUntil };

if (require.main === module) {
  const [, , text = '#8899aa', page = '#ffffff'] = process.argv;
  console.log(`${text} on ${page}: ${contrast(text, page).toFixed(2)}`);
  console.log(`readable shade: ${darkenUntil(text, page)}`);
}
