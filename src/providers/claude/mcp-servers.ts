import { Type } from 'typebox';
import { Compile } from 'typebox/compile';
import type { ExecutionEvent } from '../../protocol/event.ts';

const server = Compile(Type.Object({ name: Type.String(), status: Type.String() }));

/** By the status of one that is not there: the run goes on without its tools. */
const WHY: Readonly<Record<string, string>> = {
  failed: 'could not be started or reached',
  'needs-auth': 'needs a login',
};

/** Warns of the MCP servers an `init` names as missing; once each, though every turn has an `init`. */
export function createServerWarnings(): (servers: unknown) => readonly ExecutionEvent[] {
  const told = new Set<string>();
  return (servers) =>
    (Array.isArray(servers) ? servers : []).flatMap((one: unknown) => {
      if (!server.Check(one) || !Object.hasOwn(WHY, one.status)) return [];
      const message = `the MCP server ${one.name} ${WHY[one.status]}: its tools are missing`;
      if (told.has(message)) return [];
      told.add(message);
      return [{ kind: 'warning', code: 'mcp_server_failed', message }];
    });
}
