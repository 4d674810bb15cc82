import { parseArgs } from 'node:util';
import { startOfflineModel } from './server.ts';

const { values } = parseArgs({
  options: { port: { type: 'string', default: '0' }, behaviour: { type: 'string' } },
});
const model = await startOfflineModel({ port: Number(values.port) });
if (values.behaviour !== undefined) model.setBehaviour(values.behaviour);

console.log(`Bullpen's offline model (a development tool) listens on ${model.url}

export ANTHROPIC_BASE_URL=${model.url}
export ANTHROPIC_API_KEY=offline
export CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1 DISABLE_TELEMETRY=1 DISABLE_AUTOUPDATER=1

export GOOGLE_GEMINI_BASE_URL=${model.url} GEMINI_API_KEY=offline
  with {"security":{"auth":{"selectedType":"gemini-api-key"}}} in ~/.gemini/settings.json

Prompts may script it, for example: [[tool: Bash {"command":"echo hi"}]] [[reply: done]]`);

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void model.stop());
