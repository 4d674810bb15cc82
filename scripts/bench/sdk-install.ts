/**
 * The vendor's Agent SDK. It weighs too much for the root package: scripts/bench/sdk pins it, and it is installed
 * beside the results, where nobody takes it for the project's own code.
 */
import { execFile } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { messageOf } from '../../src/errors.ts';

const PACKAGE = '@anthropic-ai/claude-agent-sdk';
const PINNED = fileURLToPath(new URL('./sdk/', import.meta.url));
const INSTALL_WITHIN_MS = 300_000;
const REASON_LENGTH = 200;

/** Its module, or why there is none. */
export type AgentSdk = { readonly module: string; readonly version: string } | { readonly missing: string };

interface Manifest {
  readonly version?: string;
  readonly dependencies?: Readonly<Record<string, string>>;
}

function manifest(path: string): Manifest {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return {}; // not installed
  }
}

/** Installs it into `folder` unless it is there. */
export async function installAgentSdk(folder: string, log: (line: string) => void): Promise<AgentSdk> {
  const version = manifest(join(PINNED, 'package.json')).dependencies?.[PACKAGE] ?? '';
  const installed = join(folder, 'node_modules', PACKAGE, 'package.json');
  if (manifest(installed).version !== version) {
    log(`installing the Agent SDK ${version} into ${folder}`);
    mkdirSync(folder, { recursive: true });
    for (const name of ['package.json', 'package-lock.json'])
      copyFileSync(join(PINNED, name), join(folder, name));
    try {
      // Its optional packages are the CLI once more, for each platform; all sides run the one that is here.
      const args = ['ci', '--omit=optional', '--ignore-scripts', '--no-audit', '--no-fund'];
      await promisify(execFile)('npm', args, { cwd: folder, timeout: INSTALL_WITHIN_MS });
    } catch (error) {
      return { missing: `the Agent SDK cannot be installed: ${messageOf(error).slice(0, REASON_LENGTH)}` };
    }
  }
  return { module: createRequire(join(folder, 'package.json')).resolve(PACKAGE), version };
}
