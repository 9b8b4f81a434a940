/* Pixels of the viewer: decoding, windows, heat on the true grid. Pure functions, no DOM. */
(() => {
  const ns = (window.StrokeNeXt = window.StrokeNeXt || {});

  /** Reply of the server -> {values: Int16Array, scale}; one stored step is `scale` HU or grey levels. */
  async function decode(reply) {
    const packed = Uint8Array.from(atob(reply.data), (c) => c.charCodeAt(0));
    let buffer = packed.buffer;
    if (reply.encoding === "gzip") {
      const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
      buffer = await new Response(stream).arrayBuffer();
    }
    return { values: new Int16Array(buffer), scale: reply.scale };
  }

  /** Width and height in pixels, a linear map value -> 0..255: grey RGBA bytes, rounded as the library does. */
  function grey(picture, width, height, low, high) {
    const image = new ImageData(width, height);
    const bytes = image.data;
    const gain = (255 * picture.scale) / (high - low);
    const offset = (-255 * low) / (high - low);
    const { values } = picture;
    for (let i = 0, j = 0; i < values.length; i += 1, j += 4) {
      const shade = values[i] * gain + offset;
      bytes[j] = bytes[j + 1] = bytes[j + 2] = shade; // a clamped array: rounds and limits by itself
      bytes[j + 3] = 255;
    }
    return image;
  }

  /** The grey level range that brightness (-1..1) and contrast (0.1..10) show, as [black, white]. */
  function greyRange(brightness, contrast) {
    const half = 0.5 / contrast;
    const middle = 0.5 - brightness / contrast;
    return [255 * (middle - half), 255 * (middle + half)];
  }

  /** Sum of the chosen encoders' maps (h x w, row-major). */
  function chosen(heat, encoder) {
    const picked = heat.maps.filter((_, i) => encoder === "both" || heat.encoders[i] === encoder);
    const total = new Float32Array(heat.grid[0] * heat.grid[1]);
    for (const map of picked) map.forEach((v, i) => (total[i] += v));
    return total;
  }

  /** Heat in logit units at every pixel: through the affine to the model's input, between cells bilinear or (`cells`) flat, 0 outside. */
  function field(heat, encoder, width, height, cells) {
    const total = chosen(heat, encoder);
    const [rows, columns] = heat.grid;
    const [a, b, c, d, e, f] = heat.affine;
    const side = heat.input_size;
    const out = new Float32Array(width * height);
    for (let y = 0; y < height; y += 1) {
      for (let x = 0; x < width; x += 1) {
        const u = a * x + b * y + c;
        const v = d * x + e * y + f;
        if (u < 0 || v < 0 || u > side - 1 || v > side - 1) continue;
        if (cells) {
          out[y * width + x] = total[Math.floor(((v + 0.5) * rows) / side) * columns + Math.floor(((u + 0.5) * columns) / side)];
          continue;
        }
        const gx = Math.min(Math.max(((u + 0.5) * columns) / side - 0.5, 0), columns - 1);
        const gy = Math.min(Math.max(((v + 0.5) * rows) / side - 0.5, 0), rows - 1);
        const x0 = Math.min(Math.floor(gx), Math.max(columns - 2, 0));
        const y0 = Math.min(Math.floor(gy), Math.max(rows - 2, 0));
        const x1 = Math.min(x0 + 1, columns - 1);
        const y1 = Math.min(y0 + 1, rows - 1);
        const fx = gx - x0;
        const fy = gy - y0;
        const top = total[y0 * columns + x0] * (1 - fx) + total[y0 * columns + x1] * fx;
        const low = total[y1 * columns + x0] * (1 - fx) + total[y1 * columns + x1] * fx;
        out[y * width + x] = top * (1 - fy) + low * fy;
      }
    }
    return out;
  }

  /** The grey picture with heat mixed in; a pixel without heat keeps its grey exactly. */
  function blend(base, heatField, fullScale, lut, opacity) {
    const image = new ImageData(new Uint8ClampedArray(base.data), base.width, base.height);
    const bytes = image.data;
    for (let i = 0, j = 0; i < heatField.length; i += 1, j += 4) {
      const share = Math.min(heatField[i] / fullScale, 1);
      if (!(share > 0)) continue;
      const alpha = opacity * share; // as the library's render: the stronger the evidence, the more opaque
      const k = 3 * Math.round(share * 255);
      bytes[j] += alpha * (lut[k] - bytes[j]);
      bytes[j + 1] += alpha * (lut[k + 1] - bytes[j + 1]);
      bytes[j + 2] += alpha * (lut[k + 2] - bytes[j + 2]);
    }
    return image;
  }

  /** Marching squares: line segments [x1, y1, x2, y2, ...] in pixels where the field crosses `level`. */
  function contour(heatField, width, height, level, step = 2) {
    const lines = [];
    const at = (x, y) => heatField[Math.min(y, height - 1) * width + Math.min(x, width - 1)];
    const cross = (p, q) => (level - p) / (q - p);
    for (let y = 0; y < height - step; y += step) {
      for (let x = 0; x < width - step; x += step) {
        const nw = at(x, y), ne = at(x + step, y), se = at(x + step, y + step), sw = at(x, y + step);
        const hits = [];
        if (nw >= level !== ne >= level) hits.push(x + step * cross(nw, ne), y);
        if (ne >= level !== se >= level) hits.push(x + step, y + step * cross(ne, se));
        if (sw >= level !== se >= level) hits.push(x + step * cross(sw, se), y + step);
        if (nw >= level !== sw >= level) hits.push(x, y + step * cross(nw, sw));
        for (let i = 0; i + 3 < hits.length; i += 4) lines.push(hits[i], hits[i + 1], hits[i + 2], hits[i + 3]);
      }
    }
    return lines;
  }

  ns.pixels = { decode, grey, greyRange, field, blend, contour };
})();
