/** The commands that hold jobs back: queue, nodes. */
import type { Node, Pause, PauseScope } from '../../protocol/server-info.ts';
import type { Command } from '../command.ts';
import { EXIT, usageError } from '../failures.ts';
import { type Column, renderTable } from '../format.ts';

export const queueCommand: Command = {
  name: 'queue',
  usage: '[pause|resume] [--provider NAME|--project NAME] [--json]',
  summary: 'pause jobs, or see what is paused',
  details: `A pause starts no more jobs: of a provider, of a project, or at all. Running jobs go
on, and new jobs wait.`,
  options: {
    provider: { type: 'string', value: 'NAME', help: 'jobs of this provider only' },
    project: { type: 'string', value: 'NAME', help: 'jobs of this project only' },
    json: { type: 'boolean', help: 'print {paused: […]}' },
  },
  examples: ['bullpen queue pause', 'bullpen queue pause --provider codex', 'bullpen queue resume'],
  async run(context, args) {
    const [action, ...more] = args.positionals;
    if ((action !== undefined && action !== 'pause' && action !== 'resume') || more.length > 0)
      throw usageError('queue takes no arguments, `pause` or `resume`');
    const [provider, project] = [args.text('provider'), args.text('project')];
    if (provider !== undefined && project !== undefined)
      throw usageError('--provider and --project exclude each other');
    const scope: PauseScope = {
      ...(provider !== undefined && { provider }),
      ...(project !== undefined && { project }),
    };
    if (action === undefined && Object.keys(scope).length > 0)
      throw usageError('--provider and --project belong to `pause` and `resume`');
    const client = await context.connect();
    const paused =
      action === undefined
        ? await client.paused()
        : await (action === 'pause' ? client.pauseQueue(scope) : client.resumeQueue(scope));
    if (args.flag('json')) context.output.json({ paused }, 2);
    else if (paused.length === 0) context.output.note('nothing is paused');
    else for (const one of paused) context.output.note(pauseLine(one));
    return EXIT.succeeded;
  },
};

function pauseLine({ provider, project, since }: Pause): string {
  if (provider !== null) return `jobs of provider ${provider} are paused since ${since}`;
  return project === null
    ? `all jobs are paused since ${since}`
    : `jobs of project ${project} are paused since ${since}`;
}

export const nodesCommand: Command = {
  name: 'nodes',
  usage: '[--json] | drain ID | resume ID',
  summary: 'list the servers on this Redis, or drain one',
  details: `A drained server starts no more jobs; its running jobs go on. A restart does not end
that, \`resume\` does.`,
  options: { json: { type: 'boolean', help: 'print the answer as JSON' } },
  examples: ['bullpen nodes', 'bullpen nodes drain 01K9ZV4Q4S9V0M0X2T6D8Y3B7C'],
  async run(context, args) {
    const { output } = context;
    const [action, id, ...more] = args.positionals;
    if (action !== undefined && !((action === 'drain' || action === 'resume') && id && more.length === 0))
      throw usageError('nodes takes no arguments, `drain ID` or `resume ID`');
    const client = await context.connect();
    if (id !== undefined) {
      const node = await (action === 'drain' ? client.drainNode(id) : client.resumeNode(id));
      if (args.flag('json')) output.json(node, 2);
      else output.note(drainLine(node));
      return EXIT.succeeded;
    }
    const data = await client.nodes();
    if (args.flag('json')) output.json({ data }, 2);
    else output.text(`${renderTable(NODE_COLUMNS, data, output.width).join('\n')}\n`);
    return EXIT.succeeded;
  },
};

function drainLine({ id, status, running }: Node): string {
  if (status === 'ok') return `node ${id} starts jobs again`;
  return `node ${id} starts no more jobs; ${running} still run there`;
}

const NODE_COLUMNS: readonly Column<Node>[] = [
  { title: 'ID', cell: ({ id }) => id },
  { title: 'STATUS', cell: ({ status, lastSeenAt }) => (lastSeenAt === null ? 'stopped' : status) },
  { title: 'RUNNING', cell: ({ running }) => String(running), right: true },
  { title: 'FREE', cell: ({ free }) => (free === null ? '' : String(free)), right: true },
  { title: 'LAST SEEN', cell: ({ lastSeenAt }) => lastSeenAt ?? '' },
];
