// One writing of the model: ids go to the server, tokens come back with their chances and the other choices.

import { ask, stream } from "./api.js";
import { modelName, serverInformation } from "./server.js";

/** How many other choices are asked for with every token. */
const CHOICES = 8;

/** The ids of a text as the beginning of a prompt. */
export async function promptIds(text, signal) {
  const { ids } = await ask("tokenize", { model: modelName(), text, add_special: true }, signal);
  return ids;
}

const context = () => serverInformation().context ?? Infinity;

/** Ids that fit into the model beside what it shall write, in half of it at least: the mark where a text
    begins, and the last of them. */
export function fitting(ids, wanted) {
  const room = Math.max(context() - wanted, Math.floor(context() / 2));
  return ids.length <= room ? ids : [ids[0], ...ids.slice(ids.length - room + 1)];
}

/** The steps in the log-probabilities of an answer. */
function stepsOfAnswer(choice) {
  const given = choice.logprobs;
  if (!given?.tokens) return [];
  return given.tokens.map((token, at) => ({
    id: given.token_ids[at],
    token,
    chance: given.token_logprobs[at],
    others: others(given, at),
  }));
}

function others(given, at) {
  // Numbers among the names of an object come first, whatever was written; ids stand by their chance.
  const chances = Object.entries(given.top_logprobs[at] ?? {}).sort((one, other) => other[1] - one[1]);
  return chances.map(([token, chance], rank) => ({ id: given.top_token_ids[at][rank], token, chance }));
}

/**
 * Writes on after some ids. Calls `more(steps, text)` for every event and gives why the writing ended and
 * what was counted: `{reason, usage}`.
 */
export async function write(ids, parameters, signal, more) {
  const max_tokens = Math.max(1, Math.min(parameters.max_tokens, context() - ids.length));
  const body = {
    model: modelName(),
    prompt: ids,
    logprobs: CHOICES,
    stream_options: { include_usage: true },
    ...parameters,
    max_tokens,
  };
  let [reason, usage] = ["", undefined];
  for await (const event of stream("v1/completions", body, signal)) {
    usage = event.usage ?? usage;
    const choice = event.choices?.[0];
    if (!choice) continue;
    more(stepsOfAnswer(choice), choice.text);
    reason = choice.finish_reason ?? reason;
  }
  return { reason, usage };
}

/** Reads some ids without writing: their steps. */
export async function read(ids, signal) {
  const body = { model: modelName(), prompt: ids, max_tokens: 0, echo: true, logprobs: CHOICES, temperature: 0 };
  const answer = await ask("v1/completions", body, signal);
  return { steps: stepsOfAnswer(answer.choices[0]), text: answer.choices[0].text };
}
