// What HTML alone cannot do: keep ages young, copy, say when live updates are lost or a request
// did not get through, and keep open what somebody opened. Every page works without this file.
"use strict";

(() => {
  const units = [[31536e6, "years"], [2592e6, "months"], [864e5, "d"], [36e5, "h"], [6e4, "min"], [1e3, "s"]];
  const from = { years: 700 * 864e5, months: 60 * 864e5, d: 2 * 864e5, h: 36e5, min: 6e4, s: 0 };

  // The same words as src/web/words.rs, so that a page ages as the server would have said it.
  const said = (millis) => {
    const past = Math.abs(millis);
    if (past < 5e3) return "just now";
    const [size, name] = units.find(([, unit]) => past >= from[unit]);
    const age = `${Math.floor(past / size)} ${name}`;
    return millis > 0 ? `${age} ago` : `in ${age}`;
  };

  const refresh = () => {
    for (const time of document.querySelectorAll("time[data-age]")) {
      const words = said(Date.now() - Date.parse(time.dateTime));
      if (time.textContent !== words) time.textContent = words;
    }
  };

  const on = (name, act) => document.addEventListener(name, act);

  const copy = async (button) => {
    const source = document.getElementById(button.dataset.copy);
    const text = button.dataset.text ?? source?.textContent ?? "";
    await navigator.clipboard.writeText(text.trim());
    button.dataset.done = "";
    const label = button.getAttribute("aria-label");
    button.setAttribute("aria-label", "Copied");
    setTimeout(() => {
      delete button.dataset.done;
      button.setAttribute("aria-label", label);
    }, 1600);
  };

  // Buttons that need a script show only when there is one.
  const reveal = (root) => root.querySelectorAll?.("[data-script][hidden]").forEach((it) => { it.hidden = false; });

  let state = "";
  const live = (now) => {
    state = now ?? state;
    for (const it of document.querySelectorAll(".live-state")) it.dataset.state = state;
  };

  const alert = (text) => {
    const template = document.getElementById("alert-template");
    const box = document.getElementById("alerts");
    if (!template || !box) return;
    box.replaceChildren(template.content.cloneNode(true));
    box.querySelector("[data-text]").textContent = text;
  };

  on("click", (event) => {
    const button = event.target.closest?.("[data-copy], [data-text]");
    if (button instanceof HTMLButtonElement) copy(button);
    if (event.target.closest?.("[data-dismiss]")) document.getElementById("alerts").replaceChildren();
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      if (!menu.contains(event.target)) menu.open = false;
    }
  });
  on("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });

  // What was sent is not sent again while its answer is on the way; Back finds it usable.
  const buttons = (form) => form.querySelectorAll("button[type=submit], button:not([type])");
  on("submit", (event) => {
    if (!event.target.matches("form[data-once]") || event.defaultPrevented) return;
    // Not before the browser has read which button it was.
    setTimeout(() => buttons(event.target).forEach((it) => { it.toggleAttribute("data-sent", !it.disabled); it.disabled = true; }));
  });
  addEventListener("pageshow", () => {
    for (const it of document.querySelectorAll("[data-sent]")) {
      it.disabled = false;
      it.removeAttribute("data-sent");
    }
  });

  // Ctrl-K opens the search over the page; arrows walk through what was found.
  const palette = () => document.getElementById("palette");
  const search = () => {
    const box = palette();
    if (!box || box.open) return;
    box.showModal();
    const input = box.querySelector("input");
    input.select();
    input.dispatchEvent(new Event("palette"));
  };
  on("click", (event) => {
    if (event.target === palette()) palette().close();
    if (!palette() || !event.target.closest?.("[data-palette]") || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    search();
  });
  on("keydown", (event) => {
    if (event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      search();
      return;
    }
    const list = event.target.closest?.("dialog, main")?.querySelector(".hits");
    const steps = { ArrowDown: 1, ArrowUp: -1 };
    if (!list || !(event.key in steps || event.key === "Enter")) return;
    const links = [...list.querySelectorAll("a")];
    const here = links.indexOf(document.activeElement);
    if (event.key === "Enter") {
      if (here >= 0 || !links.length || event.target.type !== "search") return;
      event.preventDefault();
      links[0].click();
      return;
    }
    if (here < 0 && event.target.type !== "search") return;
    event.preventDefault();
    const next = here + steps[event.key];
    (links[next] ?? list.parentElement.querySelector("input")).focus();
  });

  on("htmx:sseOpen", () => live("on"));
  on("htmx:sseError", () => live("lost"));
  on("htmx:sseClose", () => live("off"));
  on("htmx:sendError", () => alert("The server did not answer. Check your connection; nothing is lost, try again."));
  on("htmx:beforeRequest", () => document.getElementById("alerts")?.replaceChildren());

  // A fragment is replaced whole: what was open stays open.
  let open = [];
  const remember = () => { open = [...document.querySelectorAll("details[id][open]")].map((it) => it.id); };
  on("htmx:sseBeforeMessage", remember);
  on("htmx:beforeSwap", remember);
  on("htmx:afterSettle", (event) => {
    for (const id of open) {
      const details = document.getElementById(id);
      if (details) details.open = true;
    }
    reveal(event.target);
    refresh();
    live();
  });

  on("DOMContentLoaded", () => {
    reveal(document);
    refresh();
  });
  setInterval(refresh, 15e3);
})();
