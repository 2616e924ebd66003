"use strict";
(function () {
  const pages = document.querySelectorAll(".page");
  const buttons = document.querySelectorAll("[data-filter]");
  function show(flag) {
    for (const page of pages) {
      page.hidden = flag !== "" && !page.dataset.flags.split(" ").includes(flag);
    }
    for (const doc of document.querySelectorAll(".document")) {
      doc.hidden = flag !== "" && !doc.querySelector(".page:not([hidden])");
    }
    for (const button of buttons) {
      button.setAttribute("aria-pressed", String(button.dataset.filter === flag));
    }
  }
  for (const button of buttons) {
    button.addEventListener("click", () => show(button.dataset.filter));
  }
  function chosen() {
    const match = location.hash.match(/^#show=(\w+)$/);
    if (match) {
      show(match[1]);
    }
  }
  addEventListener("hashchange", chosen);
  chosen();
  document.getElementById("boxes").addEventListener("change", (event) => {
    document.body.classList.toggle("noboxes", !event.target.checked);
  });
  for (const page of pages) {
    function light(event) {
      const at = event.target.closest("[data-element]");
      for (const lit of page.querySelectorAll(".lit")) {
        lit.classList.remove("lit");
      }
      if (!at) {
        return;
      }
      for (const pair of page.querySelectorAll('[data-element="' + at.dataset.element + '"]')) {
        pair.classList.add("lit");
        if (pair !== at && event.type === "click") {
          pair.scrollIntoView({ block: "nearest" });
        }
      }
    }
    page.addEventListener("mouseover", light);
    page.addEventListener("focusin", light);
    page.addEventListener("click", light);
  }
  document.documentElement.dataset.ready = "yes";
})();
