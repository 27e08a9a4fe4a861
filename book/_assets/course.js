/* What style sheets alone cannot do. A classic script, so that it runs from file:// as well. */
(function () {
  "use strict";

  const SCROLLERS = [
    "div.math",
    "span.math.course-wide",
    "mjx-container",
    ".pst-scrollable-table-container",
    ".bd-article pre",
  ].join(", ");

  /** Let a formula inside a line scroll in its own box if it is wider than the text. */
  function boxWideMath() {
    document.querySelectorAll("span.math").forEach((math) => {
      math.classList.remove("course-wide");
      const formula = math.querySelector("mjx-container");
      const text = math.closest("p, li, dd, td, th, figcaption, div");
      if (formula && text && !math.closest("table")) {
        math.classList.toggle("course-wide", formula.offsetWidth > text.clientWidth);
      }
    });
  }

  /** Give the keyboard access to whatever scrolls sideways. */
  function focusScrollers() {
    document.querySelectorAll(SCROLLERS).forEach((box) => {
      if (box.scrollWidth > box.clientWidth && getComputedStyle(box).overflowX === "auto") {
        box.tabIndex = 0;
      } else if (box.tabIndex === 0) {
        box.removeAttribute("tabindex");
      }
    });
  }

  function layout() {
    boxWideMath();
    focusScrollers();
  }

  /** Put a figure to push where its plain figure stands; its own script, still to run, shows it. */
  document.querySelectorAll(".push[data-replaces]").forEach((panel) => {
    const figure = document.getElementById(panel.dataset.replaces);
    if (figure) figure.prepend(panel);
  });

  const GREEK = {
    alpha: "α", beta: "β", gamma: "γ", Delta: "Δ", epsilon: "ε", eta: "η", kappa: "κ",
    lambda: "λ", mu: "μ", sigma: "σ",
  };

  /** TeX as one would say it in a line of text: no commands, no braces. */
  function readable(tex) {
    return tex
      .replace(/\\[()]/g, "")
      .replace(/\\([A-Za-z]+) ?/g, (_, name) => GREEK[name] || "")
      .replace(/\\./g, "")
      .replace(/[{}]/g, "");
  }

  /** On the search page, quote a page's text alone: no table of contents, no code, no raw TeX. */
  if (typeof Search !== "undefined" && Search.htmlToText) {
    const plain = Search.htmlToText;
    Search.htmlToText = (html, anchor) => {
      const page = new DOMParser().parseFromString(html, "text/html");
      const unread = ".bd-sidebar-secondary, #jb-print-docs-body, .bd-header-article, pre";
      page.querySelectorAll(unread).forEach((element) => element.remove());
      page.querySelectorAll(".math").forEach((math) => {
        math.textContent = math.tagName === "SPAN" ? readable(math.textContent) : " … ";
      });
      return plain(page.documentElement.outerHTML, anchor);
    };
  }

  /** Paper has no folds and no dark theme. */
  const opened = [];
  let theme = "";

  window.addEventListener("beforeprint", () => {
    theme = document.documentElement.dataset.theme;
    document.documentElement.dataset.theme = "light";
    document.querySelectorAll("details.sd-dropdown:not([open])").forEach((fold) => {
      fold.open = true;
      opened.push(fold);
    });
  });

  window.addEventListener("afterprint", () => {
    document.documentElement.dataset.theme = theme;
    opened.splice(0).forEach((fold) => {
      fold.open = false;
    });
  });

  document.addEventListener("toggle", focusScrollers, true);

  window.addEventListener("load", () => {
    const typeset = window.MathJax && window.MathJax.startup && window.MathJax.startup.promise;
    Promise.resolve(typeset).then(() => {
      // the text's width changes with the window, and with every step of a sidebar that slides
      let width = 0;
      let waiting = 0;
      new ResizeObserver((entries) => {
        if (entries[0].contentRect.width !== width) {
          width = entries[0].contentRect.width;
          clearTimeout(waiting);
          waiting = setTimeout(layout, 100);
        }
      }).observe(document.querySelector("main"));
      layout();
    });
  });
})();
