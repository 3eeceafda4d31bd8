() => {
    globalThis.tiles = {};
    const look = () => requestAnimationFrame(() => {
        const painted = new MessageChannel();
        painted.port1.onmessage = () => {
            const at = performance.timeOrigin + performance.now();
            for (const tile of document.querySelectorAll(".strip [data-key]")) tiles[tile.dataset.key] ??= at;
        };
        painted.port2.postMessage(0);
    });
    new MutationObserver(look).observe(document.querySelector(".strip"), { childList: true });
    return true;
}
