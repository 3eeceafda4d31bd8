async (samples, places) => {
    const place = edgetuned.open;
    const { view } = place;
    const { canvas } = view;
    const frame = () => new Promise(requestAnimationFrame);
    const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
    // What the device says would take the place of what is drawn.
    edgetuned.live.close("hidden");
    place.desk.soon = () => {};
    place.read = async () => {};
    place.desk.load = async () => {};
    await pause(1000);
    const drawn = () => {
        view.draw();
        view.context.getImageData(1, 1, 1, 1);
    };
    const many = samples(20000);
    place.desk.samples = many;
    place.places = places(many);
    view.view = null;
    let began = performance.now();
    place.loaded(() => []);
    drawn();
    const first = performance.now() - began;
    await pause(500);
    const box = canvas.getBoundingClientRect();
    canvas.setPointerCapture = () => {};
    const point = (type, x, y) => canvas.dispatchEvent(new PointerEvent(type, {
        bubbles: true, pointerId: 1, pointerType: "mouse", button: 0, buttons: 1, clientX: box.left + x, clientY: box.top + y,
    }));
    const frames = [];
    const before = JSON.stringify(view.view);
    point("pointerdown", 300, 200);
    let last = await frame();
    for (let step = 1; step <= 120; step += 1) {
        point("pointermove", 300 + Math.sin(step / 9) * 120, 200 + step);
        const now = await frame();
        frames.push(now - last);
        last = now;
    }
    if (JSON.stringify(view.view) === before) throw new Error("the map was not moved");
    point("pointerup", 300, 320);
    view.fit();
    await pause(200);
    place.mode("lasso");
    const { width, height } = box;
    const corner = (at) => [width * (0.5 + Math.cos((at / 60) * 6.28) * 0.4), height * (0.5 + Math.sin((at / 60) * 6.28) * 0.45)];
    point("pointerdown", ...corner(0));
    for (let at = 1; at < 60; at += 1) point("pointermove", ...corner(at));
    began = performance.now();
    point("pointerup", ...corner(60));
    drawn();
    const lasso = performance.now() - began;
    if (!place.selection.size) throw new Error("the lasso selects nothing");
    return { first, frames, lasso, selected: place.selection.size };
}
