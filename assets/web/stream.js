/* The stream of answers to a page's events. The server closes it when nothing is left to say, and Gradio's client looks
   only while an event is joined whether it is open: one that is joined just before the closing message is read would
   wait for ever. So that message is kept back while an answer is due, and the stream is continued. */
"use strict";

(() => {
  const fetchNow = window.fetch.bind(window);
  const due = new Set(); // ids of joined events whose answer has not come
  let joining = 0;

  async function join(input, init) {
    joining += 1;
    try {
      const answer = await fetchNow(input, init);
      if (answer.ok) due.add((await answer.clone().json()).event_id);
      return answer;
    } finally {
      joining -= 1;
    }
  }

  /** Pass the messages on; true when the stream is over, false when it is to be continued. */
  async function passOn(body, controller, encoder) {
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    for (let rest = "", open = true; open;) {
      const { value = "", done } = await reader.read();
      open = !done;
      const messages = (rest + value).split("\n\n");
      rest = messages.pop();
      for (const message of messages) {
        const kind = /^data: *\{"msg": *"(\w+)"/.exec(message)?.[1];
        if (kind === "process_completed") due.delete(JSON.parse(message.slice(5)).event_id);
        if (kind === "close_stream" && (joining || due.size)) return false;
        controller.enqueue(encoder.encode(`${message}\n\n`));
      }
    }
    return true;
  }

  async function stream(input, init) {
    const first = await fetchNow(input, init);
    if (!first.ok || !first.body) return first;
    const encoder = new TextEncoder();
    const body = new ReadableStream({
      async start(controller) {
        try {
          for (let answer = first; !(await passOn(answer.body, controller, encoder));) {
            answer = await fetchNow(input, init);
            if (!answer.ok) throw new Error(`the stream was not continued: HTTP ${answer.status}`);
          }
          controller.close();
        } catch (error) {
          controller.error(error); // the connection broke, or the page has ended it: Gradio hears of both here
        }
      },
    });
    return new Response(body, { status: first.status, headers: first.headers });
  }

  window.fetch = (input, init) => {
    const path = new URL(input.url ?? input, location.href).pathname;
    if (path.endsWith("/queue/join")) return join(input, init);
    return path.endsWith("/queue/data") ? stream(input, init) : fetchNow(input, init);
  };
})();
