/** The result of a run as text, and its figures as Markdown for docs/reliability.md. */

import type { Use } from './growth.ts';
import type { RunResult } from './run.ts';

const SHOWN_PER_INVARIANT = 10;

/** What was broken, by invariant, and where to look. */
export function renderViolations({ violations }: RunResult, dir: string): string {
  const lines: string[] = [];
  for (const [invariant, list] of Map.groupBy(violations, (one) => one.invariant)) {
    lines.push(`✗ ${invariant} (${list.length})`);
    for (const { what, jobIds } of list.slice(0, SHOWN_PER_INVARIANT))
      lines.push(`    ${what}${jobIds.length === 0 ? '' : ` [${jobIds.join(', ')}]`}`);
    if (list.length > SHOWN_PER_INVARIANT) lines.push(`    and ${list.length - SHOWN_PER_INVARIANT} more`);
  }
  lines.push(
    `Look in ${dir}: server-N/server.log, server-N/data/ledger.db, redis/, journal.jsonl (scripted CLIs), echoed.`,
  );
  return lines.join('\n');
}

/** A table row for each figure. */
export function renderFigures(result: RunResult): string {
  const { plan, evidence, faults, answers, use } = result;
  const jobs = [...(evidence.nodes[0]?.jobs.values() ?? [])].flatMap((job) => (job === null ? [] : [job]));
  const events = [...(evidence.nodes[0]?.events.values() ?? [])];
  const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);
  const byCount = (names: readonly string[]): string =>
    [...Map.groupBy(names, (name) => name)].map(([name, all]) => `${all.length} ${name}`).join(', ') || '0';
  const codes = jobs.flatMap(({ outcome }) => (outcome?.error ? [outcome.error.code] : []));
  const rows: [string, string][] = [
    ['length, servers', `${plan.durationMs / 1000} s, ${plan.servers}`],
    ['faults', `${sum([...faults.values()])}: ${[...faults].map(([kind, n]) => `${n} ${kind}`).join(', ')}`],
    ['jobs accepted', `${jobs.length}: ${byCount(jobs.map(({ status }) => status))}`],
    ['errors of outcomes', byCount(codes)],
    [
      'keys sent, unclear answers',
      `${evidence.sent.length}, ${sum(evidence.sent.map(({ unclear }) => unclear))}`,
    ],
    ['CLI processes, prompts read', `${evidence.journal.markers.length}, ${evidence.journal.prompts.length}`],
    [
      'executions, of them retries',
      `${sum(jobs.map(({ attempts }) => attempts))}, ${sum(jobs.map(({ attempts }) => Math.max(0, attempts - 1)))}`,
    ],
    ['events', `${sum(events.map((list) => list.length))}`],
    ['answers by status', [...answers].map(([status, n]) => `${n} ${status}`).join(', ')],
    ['slowest answer', `${(result.slowestAnswerMs / 1000).toFixed(1)} s`],
    ['starts of servers', `${result.starts}`],
    ['longest time without a server', `${(result.longestOutageMs / 1000).toFixed(1)} s`],
    ...use.before.map(({ part }): [string, string] => [
      `${part}: before, after the faults, at the end`,
      renderUse(part, use),
    ]),
    ['violations', `${result.violations.length}`],
  ];
  return [
    `| seed ${plan.seed} | |`,
    '|---|---|',
    ...rows.map(([name, value]) => `| ${name} | ${value} |`),
  ].join('\n');
}

function renderUse(part: string, use: RunResult['use']): string {
  const of = (list: readonly Use[]): string => {
    const one = list.find((candidate) => candidate.part === part);
    return one === undefined ? '–' : `${one.memoryMb.toFixed()} MB and ${one.files} files`;
  };
  return [use.before, use.survived, use.after].map(of).join(', ');
}
