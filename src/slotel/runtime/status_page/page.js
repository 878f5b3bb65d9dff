// Keeps the page live: asks for it again while it is looked at, and says so when there is no answer any more.
(() => {
  const live = document.getElementById("live");
  let since = new Date();
  let timer = 0;
  const say = (text) => { if (live.textContent !== text) live.textContent = text; };
  const tables = () => [...document.querySelectorAll(".wide")];
  /** Somebody has selected text, or stands on a link by the keyboard: what is replaced would be lost. */
  function isRead() {
    const main = document.querySelector("main"), picked = getSelection(), focused = main.querySelector(":focus-visible");
    return (!picked.isCollapsed && main.contains(picked.anchorNode)) || (focused && !focused.id);
  }
  function take(next) {
    document.title = next.title;
    if (isRead()) {
      document.querySelector(".verdict").replaceWith(next.querySelector(".verdict"));
      return say("paused below: text is selected, or the keyboard's focus is there");
    }
    const scrolled = tables().map((each) => each.scrollLeft);
    const open = [...document.querySelectorAll("details[open]")].map((each) => each.id);
    const focused = document.activeElement && document.activeElement.id;
    document.querySelector("main").replaceWith(next.querySelector("main"));
    tables().forEach((each, index) => { each.scrollLeft = scrolled[index] ?? 0; });
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
    say("live");
  }
  async function look() {
    const began = performance.now();
    try {
      const answer = await fetch("/", { cache: "no-store", signal: AbortSignal.timeout(10000) });
      if (!answer.ok) throw new Error(answer.status);
      take(new DOMParser().parseFromString(await answer.text(), "text/html"));
      since = new Date();
      document.body.classList.remove("lost");
    } catch {
      document.body.classList.add("lost");
      document.title = "✕ no answer: " + document.querySelector("h1").textContent;
      document.querySelector(".verdict span:first-child").textContent = "✕";
      document.querySelector(".verdict span:last-child").textContent = "The service does not answer.";
      say("No answer since " + since.toISOString().slice(11, 19) + " UTC: it may be down; the rest of this page is from then.");
    }
    const took = performance.now() - began;
    timer = document.hidden ? 0 : setTimeout(look, Math.max(2000, 20 * took));
  }
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && !timer) look();
    if (document.hidden) { clearTimeout(timer); timer = 0; }
  });
  say("live");
  timer = setTimeout(look, 2000);
})();
