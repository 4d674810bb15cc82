/** How fast a CLI's output becomes events: splitting, parsing, checking, translating, on one core. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Value } from 'typebox/value';
import { createLineSplitter } from '../../src/processes/lines.ts';
import { ProviderSettings } from '../../src/protocol/provider-settings.ts';
import type { Provider } from '../../src/providers/provider.ts';
import { createProviders } from '../../src/providers/registry.ts';
import { plainRequest } from './plain-request.ts';
import type { Row, Section, Setting } from './setting.ts';
import { median } from './statistics.ts';

const SDK_RUNNER = {
  node: process.execPath,
  script: fileURLToPath(new URL('../../src/anthropic-runner/main.ts', import.meta.url)),
};

const FIXTURES = fileURLToPath(new URL('../../tests/fixtures/providers/', import.meta.url));
const MIB = 1024 * 1024;
/** What a pipe hands over at once. */
const CHUNK_BYTES = 64 * 1024;
const MAX_LINE_BYTES = 4 * MIB;

/** Every recorded output of this CLI, one after the other, until there is enough. */
function recorded(provider: string, atLeastBytes: number): Buffer {
  const folder = join(FIXTURES, provider);
  const one = Buffer.concat(
    readdirSync(folder).map((name) => readFileSync(join(folder, name, 'stdout.jsonl'))),
  );
  return Buffer.concat(Array.from({ length: Math.ceil(atLeastBytes / one.length) }, () => one));
}

/** Milliseconds for all of it, and the events it became. */
function translate(provider: Provider, output: Buffer): { readonly ms: number; readonly events: number } {
  const translator = provider.translator(plainRequest('bench', '/'));
  let events = 0;
  const splitter = createLineSplitter({
    maxLineBytes: MAX_LINE_BYTES,
    maxTextBytes: MAX_LINE_BYTES,
    onLine(line) {
      events += translator.line(line).length;
    },
  });
  const startedAt = performance.now();
  for (let at = 0; at < output.length; at += CHUNK_BYTES)
    splitter.write(output.subarray(at, at + CHUNK_BYTES));
  splitter.end();
  return { ms: performance.now() - startedAt, events };
}

/** MB per second of each provider whose output was recorded. */
export async function measureParser({ quick, log }: Setting): Promise<Section> {
  const bytes = (quick ? 5 : 50) * MIB;
  const rounds = quick ? 2 : 5;
  const settings = Value.Parse(ProviderSettings, Value.Default(ProviderSettings, {}));
  const providers = createProviders(settings, {
    runningAsRoot: false,
    sandboxMarker: false,
    sdkRunner: SDK_RUNNER,
  });
  const rows: Row[] = [];
  const data: Record<string, unknown> = {};
  for (const name of readdirSync(FIXTURES)) {
    const { provider } = providers.get(name);
    const output = recorded(name, bytes);
    translate(provider, output.subarray(0, MIB)); // warm-up
    const runs = Array.from({ length: rounds }, () => translate(provider, output));
    const rate = output.length / 1e6 / (median(runs.map(({ ms }) => ms)) / 1000);
    log(`${name}: ${rate.toFixed(0)} MB/s, ${runs[0]?.events} events`);
    rows.push({ name, value: rate, unit: 'MB/s', goal: { relation: '≥', value: 50 } });
    data[name] = { bytes: output.length, runs };
  }
  return { title: 'Output → events on one core (recorded runs, repeated)', rows, data };
}
