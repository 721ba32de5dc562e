"use strict";
// The page can be read without this: it filters, finds, and opens what an address names. What a cluster opens to
// stands in a `noscript`, which is text here until somebody looks at it.
(() => {
  const tools = document.querySelector(".tools");
  const find = document.getElementById("find");
  const shown = document.getElementById("shown");
  const buttons = [...document.querySelectorAll(".filter")];
  const tiles = [...document.querySelectorAll(".tile")];
  const waves = [...document.querySelectorAll(".wave")].map((wave) => [wave, [...wave.querySelectorAll(".tile")]]);
  const number = new Intl.NumberFormat("en");

  const filter = () => {
    const states = buttons.filter((button) => button.ariaPressed === "true").map((button) => button.dataset.state);
    const text = find.value.trim().toLowerCase();
    let count = 0;
    for (const tile of tiles) {
      const fits = (!states.length || states.includes(tile.dataset.state)) && tile.dataset.name.toLowerCase().includes(text);
      if (tile.hidden === fits) tile.hidden = !fits;
      count += fits;
    }
    for (const [wave, inside] of waves) wave.classList.toggle("empty", inside.every((tile) => tile.hidden));
    shown.textContent = states.length || text ? `${number.format(count)} of ${number.format(tiles.length)} shown` : "";
  };

  const clear = () => {
    for (const button of buttons) button.ariaPressed = "false";
    find.value = "";
    filter();
  };

  const fill = (details) => {
    const kept = details.querySelector(":scope > .body > noscript");
    if (!kept) return;
    const body = kept.parentElement;
    body.innerHTML = kept.textContent;
    const button = body.querySelector(".close");
    button.hidden = false;
    button.addEventListener("click", () => close(details));
  };

  // `#app/cluster` opens that cluster, also where a filter hides it.
  const open = () => {
    const named = document.getElementById(location.hash.slice(1));
    if (!named || named.localName !== "details") return;
    if (named.closest("[hidden]")) clear();
    fill(named);
    named.open = true;
    named.scrollIntoView({ block: "center" });
    named.querySelector("summary").focus({ preventScroll: true });
  };

  for (const button of buttons) {
    button.addEventListener("click", () => {
      button.ariaPressed = String(button.ariaPressed !== "true");
      filter();
    });
  }
  const close = (details) => {
    details.open = false;
    details.querySelector("summary").focus({ preventScroll: true });
  };
  // A click, also one of a key, comes before it opens; whatever else opens it (a search in the page) is told afterwards.
  document.addEventListener("click", (event) => event.target.closest("summary") && fill(event.target.closest("details")));
  document.addEventListener("toggle", (event) => event.target.open && fill(event.target), true);
  find.addEventListener("input", filter);
  addEventListener("hashchange", open);
  addEventListener("keydown", (event) => {
    if (event.key === "Escape" && (find.value || buttons.some((button) => button.ariaPressed === "true"))) {
      clear();
    } else if (event.key === "Escape") {
      const opened = document.activeElement.closest("details[open]") ?? document.querySelector(".tile > [open]");
      if (opened) close(opened);
    }
  });
  tools.hidden = false;
  open();
})();
