// Follows the server: asks now and then what has changed, shows it, and says when there is no answer.
(function () {
  "use strict";
  const known = JSON.parse(document.getElementById("live").textContent);
  const place = (id) => document.getElementById(id);
  const LONGEST_S = 60; // between two questions
  const PATIENCE_MS = 30000; // for an answer

  let token = ""; // of a sign-in; kept in memory alone
  let timer = 0;
  let asking = false;
  let askAgain = false;
  let failures = 0;
  let silentSince = 0; // performance.now(), which no change of the clock moves
  let outdated = false;
  let calm = 15;
  const shown = {}; // part -> its html as it came
  const aside = new Map(); // image -> its doubt when it was set aside here

  class Trouble extends Error {
    constructor(sentence, signIn) { super(sentence); this.signIn = Boolean(signIn); }
  }

  async function ask(address, options) {
    const headers = { Accept: "application/json", ...(options || {}).headers };
    if (token) headers.Authorization = "Bearer " + token;
    let answer;
    try {
      answer = await fetch(address, {
        ...options, headers, cache: "no-store", redirect: "manual", signal: AbortSignal.timeout(PATIENCE_MS),
      });
    } catch (error) {
      throw new Trouble("The server does not answer.");
    }
    if (answer.type === "opaqueredirect") {
      throw new Trouble("Something in front of the server wants a sign-in: reload this page.");
    }
    if (answer.status === 401) {
      throw new Trouble(token ? "The sign-in has run out." : "The server wants to know who asks.", true);
    }
    if (answer.status === 403) throw new Trouble("This account may not do that here.", token);
    return answer;
  }

  function refusal(answer) {
    const between = [502, 504, 511].includes(answer.status); // what a proxy says of a server that is not there
    const who = between ? "Something in front of the server answers in its place" : "The server reports an error";
    return new Trouble(who + " (" + answer.status + ").");
  }

  async function read(answer) {
    try {
      return await answer.json();
    } catch (error) {
      throw new Trouble("The server's answer came in part, or is none.");
    }
  }

  async function news(address, tagName) {
    const answer = await ask(address, { headers: known[tagName] ? { "If-None-Match": known[tagName] } : {} });
    if (answer.status === 304) return null;
    if (!answer.ok) throw refusal(answer);
    return { said: await read(answer), tag: answer.headers.get("ETag") || "" };
  }

  function isWhole(said) {
    return said && said.parts && Object.values(said.parts).every((html) => typeof html === "string")
      && typeof said.sections === "string" && typeof said.said === "string";
  }

  async function askOften() {
    const found = await news("report/often", "often");
    if (found) {
      if (!isWhole(found.said)) throw new Trouble("The server's answer came in part, or is of another version.");
      showParts(found.said);
      known.often = found.tag;
      known.wanted = found.said.sections;
    }
    if (known.wanted && known.wanted !== known.key) await askSections();
  }

  async function askSections() {
    const found = await news("report/sections", "sections");
    if (found && typeof found.said.html === "string" && found.said.figures) {
      keepingPlace(place("sections"), () => showSections(place("sections"), found.said.html, found.said.figures));
      known.sections = found.tag;
    }
    known.key = found ? found.said.key : known.wanted;
  }

  function showParts(said) {
    for (const [name, html] of Object.entries(said.parts)) {
      const part = document.querySelector('[data-part="' + CSS.escape(name) + '"]');
      if (part && shown[name] !== html) {
        keepingPlace(part, () => { part.innerHTML = html; });
        shown[name] = html;
      }
    }
    hideAside();
    if (place("spoken").textContent !== said.said) place("spoken").textContent = said.said;
    const seconds = Number(said.ask_again);
    calm = seconds >= 1 && seconds <= LONGEST_S ? seconds : 15;
    outdated = said.version !== known.version;
  }

  // Who reads or types in a part that is replaced goes on where they were.
  function keepingPlace(part, change) {
    const active = part.contains(document.activeElement) ? document.activeElement : null;
    const image = active && active.closest("[data-image]");
    const held = active && { act: active.dataset.act, image: image && image.dataset.image };
    const open = [...part.querySelectorAll("details[open] > summary")].map((one) => one.textContent);
    const focused = active && active.matches("summary") ? active.textContent : null;
    change();
    part.querySelectorAll("details > summary").forEach((one) => {
      if (open.includes(one.textContent)) one.parentElement.open = true;
      if (one.textContent === focused) one.focus({ preventScroll: true });
    });
    if (!held || focused !== null) return;
    const same = [...part.querySelectorAll("button")].find((one) => {
      const at = one.closest("[data-image]");
      return one.dataset.act === held.act && (at ? at.dataset.image : null) === held.image;
    });
    const next = same || part.querySelector("button:not([hidden])");
    if (next) next.focus({ preventScroll: true });
  }

  function sayTrouble(trouble) {
    const line = place("trouble");
    let text = "";
    if (trouble && !trouble.signIn) {
      const minutes = Math.floor((performance.now() - silentSince) / 60000);
      const since = minutes >= 1 ? " For " + minutes + " min now." : "";
      text = trouble.message + since + ofBefore();
    } else if (!trouble && outdated) {
      text = "The server has been updated: reload this page.";
    }
    if (line.textContent !== text) line.textContent = text;
    line.hidden = !text;
    document.documentElement.dataset.following = trouble ? "no" : "yes";
  }

  function ofBefore() {
    return document.querySelector('[data-part="advice"]').firstChild ? " What stands below is from before." : "";
  }

  function sayWho(trouble) {
    const form = place("sign-in");
    const wanted = Boolean(trouble && trouble.signIn);
    if (wanted === !form.hidden) return;
    form.hidden = !wanted;
    place("sign-in-why").textContent = wanted ? trouble.message + ofBefore() : "";
  }

  async function look() {
    if (asking) { askAgain = true; return; }
    asking = true;
    clearTimeout(timer);
    try {
      await askOften();
      failures = 0;
      sayTrouble(null);
      sayWho(null);
    } catch (error) {
      const trouble = error instanceof Trouble ? error : new Trouble("This page could not show the answer.");
      if (!failures++) silentSince = performance.now();
      sayTrouble(trouble);
      sayWho(trouble);
    }
    asking = false;
    if (askAgain) { askAgain = false; look(); return; }
    plan();
  }

  function plan() {
    const wait = failures ? Math.min(LONGEST_S, 3 * 2 ** (failures - 1)) : calm;
    timer = setTimeout(look, 1000 * (document.hidden ? LONGEST_S : wait) * (0.9 + 0.2 * Math.random()));
  }

  async function confirm(row, button) {
    const status = row.querySelector("[role=status]");
    button.setAttribute("aria-disabled", "true");
    status.textContent = "Asking the server …";
    try {
      const path = row.dataset.image.split("/").map(encodeURIComponent).join("/");
      const answer = await ask("case/" + path, {
        method: "POST", headers: { "Content-Type": "application/json" }, body: '{"confirmed": true}',
      });
      if (answer.ok) {
        status.textContent = "Taken up.";
        look();
        return;
      }
      const why = (await read(answer)).detail;
      status.textContent = typeof why === "string" ? why : "The server refused it (" + answer.status + ").";
    } catch (error) {
      status.textContent = error.message;
      sayWho(error);
    }
    button.removeAttribute("aria-disabled");
  }

  function hideAside() {
    const rows = [...document.querySelectorAll("[data-image]")];
    const there = new Map(rows.map((row) => [row.dataset.image, row]));
    for (const [image, doubt] of aside) {
      const row = there.get(image);
      if (row && doubtOf(row) === doubt) row.hidden = true;
      else aside.delete(image); // settled, or doubted for another reason
    }
    const line = place("aside");
    if (!line) return;
    line.hidden = aside.size === 0;
    line.querySelector("span").textContent = aside.size + " set aside on this page; left out of the curve as before.";
  }

  const doubtOf = (row) => row.childNodes[1].textContent;

  async function save() {
    const line = place("saved");
    line.textContent = "Asking the server …";
    try {
      const answer = await ask("report.html");
      if (!answer.ok) throw refusal(answer);
      const link = document.createElement("a");
      link.href = URL.createObjectURL(await answer.blob());
      link.download = "report.html";
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60000);
      line.textContent = "Saved as report.html.";
    } catch (error) {
      line.textContent = error instanceof Trouble ? error.message : "The server does not answer.";
      sayWho(error);
    }
  }

  function act(button) {
    const row = button.closest("[data-image]");
    if (button.getAttribute("aria-disabled")) return;
    if (button.dataset.act === "confirm") confirm(row, button);
    if (button.dataset.act === "save") save();
    if (button.dataset.act === "aside") {
      aside.set(row.dataset.image, doubtOf(row));
      hideAside();
      const next = document.querySelector("[data-image]:not([hidden]) button, #aside button");
      if (next) next.focus();
    }
    if (button.dataset.act === "back") {
      aside.clear();
      document.querySelectorAll("[data-image]").forEach((one) => { one.hidden = false; });
      hideAside();
      const first = document.querySelector("[data-image] button");
      if (first) first.focus();
    }
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-act]");
    if (button) act(button);
  });

  place("sign-in").addEventListener("submit", async (event) => {
    event.preventDefault();
    const form = event.target;
    token = "";
    try {
      const answer = await ask("../auth/token", { method: "POST", body: new URLSearchParams(new FormData(form)) });
      const said = await read(answer);
      if (!answer.ok) throw new Trouble(typeof said.detail === "string" ? said.detail : "The sign-in failed.");
      token = String(said.access_token || "");
      form.reset();
      failures = 0;
      look();
    } catch (error) {
      place("sign-in-why").textContent = error.signIn ? "The name or the password is wrong." : error.message;
      form.elements.password.select();
    }
  });

  document.addEventListener("visibilitychange", () => { if (!document.hidden) look(); });
  window.addEventListener("online", look);
  window.addEventListener("pageshow", (event) => { if (event.persisted) look(); });

  if (!location.protocol.startsWith("http")) {
    place("trouble").textContent = "This is a copy of a page: it follows no server, and its buttons do nothing.";
    place("trouble").hidden = false;
  } else if (known.often) {
    plan();
  } else {
    look();
  }
})();
