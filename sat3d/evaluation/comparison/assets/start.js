// What the page does first: it draws each comparison in its place, and makes tabs of several.

const comparisons = JSON.parse(document.querySelector("script[type='application/json']").textContent);
for (const one of comparisons) draw(one, one.id ? document.getElementById(one.id) : document.body);
const bar = document.querySelector(".tabs");
if (bar) makeTabs(bar);

/** Show one domain at a time. Links to all of them become tabs, and the address tells which is open. */
function makeTabs(bar) {
  const tabs = [...bar.querySelectorAll("a")];
  const panelOf = (tab) => document.getElementById(tab.hash.slice(1));

  const open = (chosen) => tabs.forEach((tab) => {
    tab.setAttribute("aria-selected", tab === chosen);
    tab.tabIndex = tab === chosen ? 0 : -1;
    panelOf(tab).hidden = tab !== chosen;
  });
  const choose = (tab) => {
    history.replaceState(null, "", tab.hash);
    open(tab);
    tab.focus();
  };
  const follow = () => {
    const target = document.getElementById(location.hash.slice(1));
    const tab = tabs.find((one) => panelOf(one).contains(target));
    if (!tab) return;
    open(tab);
    target.scrollIntoView({ behavior: "instant" }); // it was hidden, or not there, when the browser looked
  };

  bar.setAttribute("role", "tablist");
  tabs.forEach((tab, i) => {
    const panel = panelOf(tab);
    for (const [name, value] of [["role", "tab"], ["id", `${panel.id}/tab`], ["aria-controls", panel.id]]) {
      tab.setAttribute(name, value);
    }
    panel.setAttribute("role", "tabpanel");
    panel.setAttribute("aria-labelledby", tab.id);
    panel.querySelector("h2").classList.add("hidden"); // the tab says it
    tab.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return; // a window of its own
      event.preventDefault();
      choose(tab);
    });
    const last = tabs.length - 1;
    const next = { ArrowRight: i < last ? i + 1 : 0, ArrowLeft: i ? i - 1 : last, Home: 0, End: last, " ": i };
    tab.addEventListener("keydown", (event) => {
      if (!(event.key in next) || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      choose(tabs[next[event.key]]);
    });
  });
  open(tabs[0]);
  follow();
  window.addEventListener("hashchange", follow);
}
