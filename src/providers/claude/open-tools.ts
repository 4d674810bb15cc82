/** The agent that calls a tool: the call it runs in; null: the main agent. */
type Agent = string | null;

/** Which tools run. One whose result never comes is over when the agent that called it goes on. */
export interface OpenTools {
  /** An agent says something; a new message shows that what it called in the one before is over. */
  said(agent: Agent, messageId: string | null): void;
  started(toolId: string, agent: Agent): void;
  /** Its result came, or the agent it ran has ended: what that had called is over too. */
  ended(toolId: string): void;
  any(): boolean;
}

/** Starts empty. */
export function createOpenTools(): OpenTools {
  const open = new Map<string, Agent>();
  const messages = new Map<Agent, string>();

  function end(toolId: string): void {
    open.delete(toolId);
    endAllOf(toolId);
  }

  function endAllOf(agent: Agent): void {
    for (const [toolId, caller] of open) if (caller === agent && toolId !== agent) end(toolId);
  }

  return {
    said(agent, messageId) {
      if (messageId !== null && messages.get(agent) === messageId) return; // the calls of one message run together
      endAllOf(agent);
      if (messageId === null) messages.delete(agent);
      else messages.set(agent, messageId);
    },
    started: (toolId, agent) => void open.set(toolId, agent),
    ended: end,
    any: () => open.size > 0,
  };
}
