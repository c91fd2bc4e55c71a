(function () {
  "use strict";
  var root = document.documentElement, all = function (what) { return Array.prototype.slice.call(document.querySelectorAll(what)); };
  root.classList.add("js");
  var finds = all("details.find"), wanted = {}, byId = function (id) { return document.getElementById(id); };
  var host = byId("by-host"), status = byId("by-status"), text = byId("by-text"), said = byId("shown"), live = byId("live");

  function filter() {
    var any = Object.keys(wanted).some(function (word) { return wanted[word]; });
    var word = text.value.trim().toLowerCase(), count = 0;
    finds.forEach(function (one) {
      var shown = (!any || wanted[one.dataset.severity]) &&
        (!host.value || JSON.parse(one.dataset.hosts).indexOf(host.value) >= 0) &&
        (!status || !status.value || one.dataset.status.split(" ").indexOf(status.value) >= 0) &&
        (!word || one.textContent.toLowerCase().indexOf(word) >= 0);
      one.hidden = !shown;
      count += shown ? 1 : 0;
    });
    said.textContent = count + " of " + finds.length + " shown";
  }
  all("button[data-filter]").forEach(function (button) {
    button.addEventListener("click", function () {
      var word = button.dataset.filter;
      wanted[word] = !wanted[word];
      button.setAttribute("aria-pressed", String(wanted[word]));
      filter();
    });
  });
  [host, status, text].forEach(function (field) { if (field) { field.addEventListener("input", filter); } });
  byId("reset").addEventListener("click", function () {
    wanted = {};
    host.value = text.value = "";
    if (status) { status.value = ""; }
    all("button[data-filter]").forEach(function (button) { button.setAttribute("aria-pressed", "false"); });
    filter();
  });
  byId("expand").addEventListener("click", function () {
    var open = finds.some(function (one) { return !one.hidden && !one.open; });
    finds.forEach(function (one) { if (!one.hidden) { one.open = open; } });
  });

  function copied(button) {
    var before = "Copy";
    button.textContent = "Copied";
    live.textContent = "Command copied";
    setTimeout(function () { button.textContent = before; live.textContent = ""; }, 2000);
  }
  function select(code, button) {
    var range = document.createRange(), chosen = getSelection();
    range.selectNodeContents(code);
    chosen.removeAllRanges();
    chosen.addRange(range);
    if (document.execCommand("copy")) { copied(button); } else { live.textContent = "Selected: press Ctrl+C"; }
  }
  all(".cmd button").forEach(function (button) {
    button.addEventListener("click", function () {
      var code = button.parentNode.querySelector("code");
      if (navigator.clipboard) {
        navigator.clipboard.writeText(code.textContent).then(function () { copied(button); }, function () { select(code, button); });
      } else { select(code, button); }
    });
  });

  function reveal() {
    var one = location.hash.length > 1 && byId(decodeURIComponent(location.hash.slice(1)));
    if (one && one.tagName === "DETAILS") {
      if (one.hidden) { byId("reset").click(); }
      one.open = true;
      one.scrollIntoView();
      one.querySelector("summary").focus({preventScroll: true});
    }
  }
  addEventListener("hashchange", reveal);
  reveal();

  var theme = byId("theme"), themes = ["auto", "dark", "light"], now = "auto";
  function dress(name) {
    now = name;
    if (name === "auto") { root.removeAttribute("data-theme"); } else { root.setAttribute("data-theme", name); }
    theme.textContent = "Theme: " + name;
    try { localStorage.setItem("fieldops-theme", name); } catch (error) { return; }
  }
  theme.hidden = false;
  theme.addEventListener("click", function () { dress(themes[(themes.indexOf(now) + 1) % themes.length]); });
  try { if (themes.indexOf(localStorage.getItem("fieldops-theme")) > 0) { dress(localStorage.getItem("fieldops-theme")); } } catch (error) { now = "auto"; }

  var closed = [];
  addEventListener("beforeprint", function () {
    closed = finds.filter(function (one) { return !one.open; });
    closed.forEach(function (one) { one.open = true; });
  });
  addEventListener("afterprint", function () { closed.forEach(function (one) { one.open = false; }); });
  filter();
})();
