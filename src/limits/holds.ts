/** What a person holds: everything, the jobs of a provider or a project, or those of a node. */
import type { Keys } from '../auth/keys.ts';
import { ADMIN_PRINCIPAL, actorOf, maySeeGate, type Principal } from '../auth/principal.ts';
import { AppError } from '../errors.ts';
import type { Holds, Jobs } from '../http/ports.ts';
import { DEFAULT_PROJECT } from '../protocol/project.ts';
import type { Node, Pause, PauseScope } from '../protocol/server-info.ts';
import type { Providers } from '../providers/registry.ts';
import type { Gates, HeldGate, NodeState } from '../records/gate-records.ts';

export function createHolds({
  gates,
  providers,
  keys,
  jobs,
}: {
  readonly gates: Pick<Gates, 'hold' | 'held' | 'nodes'>;
  readonly providers: Pick<Providers, 'list'>;
  readonly keys: Pick<Keys, 'hasProject'>;
  readonly jobs: Pick<Jobs, 'list'>;
}): Holds {
  async function gateOf({ provider, project }: PauseScope): Promise<HeldGate> {
    if (provider !== undefined) {
      if (providers.list().some((one) => one.provider.name === provider)) return `provider:${provider}`;
      throw new AppError('provider.not_found', `there is no provider ${JSON.stringify(provider)}`);
    }
    if (project === undefined) return 'queue';
    if (await isKnown(project)) return `project:${project}`;
    throw new AppError('project.not_found', `there is no project ${JSON.stringify(project)}`);
  }

  /** A project whose callers have JWTs has no key; then it has jobs, or is paused. */
  async function isKnown(project: string): Promise<boolean> {
    if (project === DEFAULT_PROJECT || keys.hasProject(project)) return true;
    const { data } = await jobs.list(ADMIN_PRINCIPAL, { project, limit: 1, cursor: null });
    return data.length > 0 || (await gates.held()).some(({ gate }) => gate === `project:${project}`);
  }

  /** With the drained nodes that have no heartbeat. */
  async function nodes(): Promise<readonly Node[]> {
    const [live, held] = await Promise.all([gates.nodes(), gates.held()]);
    const drained = held.flatMap(({ gate }) => (gate.startsWith('node:') ? [gate.slice(5)] : []));
    const gone = drained.filter((id) => live.every((node) => node.id !== id));
    return [...live.map((node) => toNode(node, drained.includes(node.id))), ...gone.map(withoutHeartbeat)];
  }

  async function paused(principal: Principal): Promise<readonly Pause[]> {
    return (await gates.held())
      .filter(({ gate }) => maySeeGate(principal, gate))
      .toSorted((a, b) => a.since - b.since)
      .flatMap(({ gate, since }) => {
        const [kind, name = null] = gate.split(':');
        if (kind === 'node') return [];
        const scope = {
          provider: kind === 'provider' ? name : null,
          project: kind === 'project' ? name : null,
        };
        return [{ ...scope, since: new Date(since).toISOString() }];
      });
  }

  return {
    paused,
    async pause(principal, scope, closes) {
      await gates.hold(await gateOf(scope), closes, actorOf(principal));
      return paused(principal);
    },
    nodes,
    async drain(principal, id, closes) {
      const known = (await nodes()).some((node) => node.id === id);
      if (!known) throw new AppError('node.not_found', 'there is no node with this id');
      await gates.hold(`node:${id}`, closes, actorOf(principal));
      return (await nodes()).find((node) => node.id === id) ?? withoutHeartbeat(id);
    },
  };
}

function toNode({ id, seenAt, running, given, free }: NodeState, drained: boolean): Node {
  return {
    ...{ id, status: drained ? 'drained' : 'ok', lastSeenAt: new Date(seenAt).toISOString() },
    ...{ running, given, free },
  };
}

const withoutHeartbeat = (id: string): Node => ({
  ...{ id, status: 'drained', lastSeenAt: null, running: 0, given: 0, free: null },
});
