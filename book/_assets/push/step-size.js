/* Difference quotients of tanh: a slider halves and doubles the step h, down to rounding. */
(function () {
  "use strict";

  /** The derivative of tanh. */
  function slope(x) {
    return 1 - Math.tanh(x) ** 2;
  }

  /** The one-sided and the central difference quotient of tanh, as floating point gives them. */
  function quotients(x, h) {
    const right = Math.tanh(x + h);
    return {
      oneSided: (right - Math.tanh(x)) / h,
      central: (right - Math.tanh(x - h)) / (2 * h),
    };
  }

  window.coursePush = window.coursePush || {};
  window.coursePush["step-size"] = { slope, quotients };

  const root = document.getElementById("push-step-size");
  if (!root) return;

  const X = 0.5;
  const Y = Math.tanh(X);
  const LAST = 58; // positions of the slider; h doubles from each to the next (10 ** 0.3 is 1.995)
  const step = (position) => 10 ** (0.3 * (position - (LAST - 1)));
  const across = (x) => ((x + 1.6) * 640) / 4.2;
  const down = (y) => ((1.35 - y) * 640) / 4.2;
  const BLUE = "#2f7fd0";
  const ORANGE = "#d26a00";
  const GRAY = "#808890";

  let curve = "";
  for (let k = 0; k <= 88; k++) {
    const x = -1.7 + k * 0.05;
    curve += `${k ? "L" : "M"}${across(x).toFixed(1)} ${down(Math.tanh(x)).toFixed(1)}`;
  }
  const key = (color, dash) =>
    `<span aria-hidden="true" style="display: inline-block; width: 1.6em; margin-right: 0.5em; ` +
    `border-top: 3px ${dash} ${color}; vertical-align: middle"></span>`;
  root.insertAdjacentHTML(
    "beforeend",
    `<svg viewBox="0 0 640 330" role="img" aria-label="The curve of tanh with its tangent at ${X}, a secant from ${X} to ${X} plus h, and a secant from ${X} minus h to ${X} plus h. The table below gives their slopes.">
<g fill="none">
<path d="M0 ${down(0)}H640" stroke="${GRAY}"/>
<path d="${curve}" stroke="currentColor" stroke-width="2.5"/>
<line data-is="tangent" stroke="${GRAY}" stroke-width="2.5" stroke-dasharray="3 5"/>
<line data-is="one" stroke="${ORANGE}" stroke-width="6"/>
<line data-is="two" stroke="${BLUE}" stroke-width="2.5"/>
</g>
<circle data-is="left" r="6" fill="${BLUE}"/><circle data-is="right" r="6" fill="${BLUE}"/>
<circle r="6" cx="${across(X)}" cy="${down(Y)}" fill="${ORANGE}"/>
<text x="12" y="${down(0) - 6}" style="font-size: 22px">0</text>
<text x="575" y="92" style="font-size: 22px">tanh</text>
</svg>
<div class="push-row"><label for="push-step-size-h">Step <i>h</i></label>
<input type="range" id="push-step-size-h" min="0" max="${LAST}" step="1" value="${LAST - 2}"></div>
<table>
<thead><tr><th scope="col"><i>h</i> = <span data-is="h"></span></th><th scope="col">slope</th><th scope="col">error</th></tr></thead>
<tbody>
<tr><th scope="row">${key(GRAY, "dashed")}tangent</th><td>${slope(X).toFixed(6)}</td><td>0</td></tr>
<tr><th scope="row">${key(ORANGE, "solid")}one-sided</th><td data-is="slope-one"></td><td data-is="error-one"></td></tr>
<tr><th scope="row">${key(BLUE, "solid")}central</th><td data-is="slope-two"></td><td data-is="error-two"></td></tr>
</tbody></table>`,
  );
  const part = Object.fromEntries(
    [...root.querySelectorAll("[data-is]")].map((node) => [node.dataset.is, node]),
  );
  const range = root.querySelector("input");
  const place = (node, values) =>
    Object.entries(values).forEach(([name, value]) => node.setAttribute(name, value));

  /** Lay a line of this slope, and of this height at X, from edge to edge. */
  function lay(node, height, m) {
    const y = (x) => down(height + m * (x - X));
    place(node, { x1: across(-2), y1: y(-2), x2: across(3), y2: y(3) });
  }

  /** 3.6e-5 as 3.6·10⁻⁵, which reads well in text and aloud. */
  function power(value) {
    if (value === 0) return "0";
    const [mantissa, exponent] = value.toExponential(1).split("e");
    const digits = String(Number(exponent)).replace(
      /[-0-9]/g,
      (mark) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(mark)],
    );
    return `${mantissa}·10${digits}`;
  }

  function draw() {
    const h = step(Number(range.value));
    const { oneSided, central } = quotients(X, h);
    const ends = [Math.tanh(X - h), Math.tanh(X + h)];
    lay(part.one, Y, oneSided);
    lay(part.two, (ends[0] + ends[1]) / 2, central);
    place(part.left, { cx: across(X - h), cy: down(ends[0]) });
    place(part.right, { cx: across(X + h), cy: down(ends[1]) });
    const said = {
      h: power(h),
      "slope-one": oneSided.toFixed(6),
      "error-one": power(Math.abs(oneSided - slope(X))),
      "slope-two": central.toFixed(6),
      "error-two": power(Math.abs(central - slope(X))),
    };
    for (const [name, words] of Object.entries(said)) part[name].textContent = words;
    range.setAttribute(
      "aria-valuetext",
      `h = ${said.h}, one-sided error ${said["error-one"]}, central error ${said["error-two"]}`,
    );
  }

  lay(part.tangent, Y, slope(X));
  range.addEventListener("input", draw);
  draw();
  root.hidden = false;
})();
