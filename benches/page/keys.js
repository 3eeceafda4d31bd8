() => {
    Object.assign(globalThis, { seen: [], kept: [], refused: 0 });
    const left = () => document.querySelector(".queuebar .faint").textContent;
    addEventListener("keydown", ({ timeStamp }) => {
        const before = left();
        const painted = new MessageChannel();
        painted.port1.onmessage = () => seen.push(performance.now() - timeStamp);
        const look = () => requestAnimationFrame(() => (left() === before ? look() : painted.port2.postMessage(0)));
        look();
        const end = edgetuned.labels.on(({ state }) => {
            if (state === "pending" || state === "waiting") return;
            if (state !== "confirmed") refused += 1;
            kept.push(performance.now() - timeStamp);
            end();
        });
    }, true);
    return true;
}
