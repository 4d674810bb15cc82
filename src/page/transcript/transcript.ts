/**
 * What a reader sees of a job or a session: its events, put together to texts, tool calls and
 * notices. Each event costs the same, however long the transcript is.
 */
import type { Approval, ApprovalStatus } from '../../protocol/approval.ts';
import type { SessionStoredEvent, StoredEvent } from '../../protocol/event.ts';
import type { Outcome, Usage } from '../../protocol/outcome.ts';
import { noticeOf, type Tone } from './notices.ts';
import { type Phase, phaseOf, usageIn } from './phases.ts';

interface Common {
  /** Stays the same for as long as the item is there. */
  readonly key: string;
  readonly jobId: string;
  readonly at: string;
}

export interface PromptItem extends Common {
  readonly kind: 'prompt';
  /** Null: not known yet, see {@link Transcript.name}. */
  readonly text: string | null;
  /** Sent into the running turn. */
  readonly steered: boolean;
}

export interface TextItem extends Common {
  readonly kind: 'text';
  readonly text: string;
  /** More of it may come. */
  readonly streams: boolean;
}

export interface ReasoningItem extends Common {
  readonly kind: 'reasoning';
  readonly text: string;
}

export interface ToolItem extends Common {
  readonly kind: 'tool';
  readonly toolId: string;
  readonly name: string;
  readonly input: unknown;
  /** Null: it has not ended. */
  readonly output: string | null;
  readonly isError: boolean;
  /** Its execution ended before it. */
  readonly cut: boolean;
  readonly startedAt: string;
  readonly endedAt: string | null;
}

export interface ApprovalItem extends Common {
  readonly kind: 'approval';
  readonly approval: Approval;
  readonly status: ApprovalStatus;
  readonly decidedBy: string | null;
}

export interface NoticeItem extends Common {
  readonly kind: 'notice';
  readonly tone: Tone;
  readonly text: string;
  /** More about it, in the words of the CLI or the server. */
  readonly detail: string | null;
}

/** How a job ended. */
export interface EndItem extends Common {
  readonly kind: 'end';
  readonly outcome: Outcome;
}

export type Item = PromptItem | TextItem | ReasoningItem | ToolItem | ApprovalItem | NoticeItem | EndItem;

export type TranscriptEvent = StoredEvent | SessionStoredEvent;
type JobStoredEvent = Extract<TranscriptEvent, { readonly jobId: string }>;

export interface Transcript {
  /** Always the same array. An item that changes is replaced by another object at its place. */
  readonly items: readonly Item[];
  /** The waits and the executions, in order: the same array, too. */
  readonly phases: readonly Phase[];
  /** How the processes of executions were started, by execution id. */
  readonly starts: ReadonlyMap<string, 'cold' | 'warm' | 'session'>;
  /** What each execution has used so far. */
  readonly usages: ReadonlyMap<string, Usage>;
  /** Grows with every change of the items. */
  readonly version: number;
  /** Takes the next event. Unknown kinds change nothing. */
  add(event: TranscriptEvent): void;
  /** Fills in the text of a prompt: of a job, or of a message that was sent into a running turn. */
  name(id: string, text: string): void;
}

/** What is open in a job: it may still change. */
interface Open {
  /** Index of the text whose deltas come. */
  text: number | null;
  /** Indices of the tool calls that have not ended, by tool id. */
  readonly tools: Map<string, number>;
}

export function createTranscript(): Transcript {
  const items: Item[] = [];
  const phases: Phase[] = [];
  const starts = new Map<string, 'cold' | 'warm' | 'session'>();
  const usages = new Map<string, Usage>();
  const jobs = new Map<string, Open>();
  const approvals = new Map<string, number>();
  const prompts = new Map<string, number>();
  const names = new Map<string, string>();
  let version = 0;

  function push(item: Item): number {
    items.push(item);
    version += 1;
    return items.length - 1;
  }

  function replace(index: number, item: Item): void {
    items[index] = item;
    version += 1;
  }

  function at<K extends Item['kind']>(
    index: number | undefined | null,
    kind: K,
  ): Extract<Item, { kind: K }> | null {
    const item = items[index ?? -1];
    return item?.kind === kind ? (item as Extract<Item, { kind: K }>) : null; // as: it has this kind
  }

  function addPrompt(id: string, event: JobStoredEvent, steered: boolean): void {
    const common = { ...commonOf(event), key: `p${event.seq}` };
    prompts.set(id, push({ ...common, kind: 'prompt', text: names.get(id) ?? null, steered }));
  }

  function jobOf(event: JobStoredEvent): Open {
    const known = jobs.get(event.jobId);
    if (known !== undefined) return known;
    const job: Open = { text: null, tools: new Map() };
    jobs.set(event.jobId, job);
    addPrompt(event.jobId, event, false);
    return job;
  }

  function addDelta(event: JobStoredEvent, job: Open, delta: string): void {
    const open = at(job.text, 'text');
    // A text that something else follows is not continued.
    if (open !== null && job.text === items.length - 1) {
      replace(job.text, { ...open, text: open.text + delta });
    } else job.text = push({ ...commonOf(event), kind: 'text', text: delta, streams: true });
  }

  function addText(event: JobStoredEvent, job: Open, text: string): void {
    const open = at(job.text, 'text');
    const repeats = open !== null && (job.text === items.length - 1 || text.startsWith(open.text));
    if (open !== null && job.text !== null && repeats) replace(job.text, { ...open, text, streams: false });
    else push({ ...commonOf(event), kind: 'text', text, streams: false });
    if (repeats) job.text = null;
  }

  function endTool(event: JobStoredEvent & { kind: 'tool.ended' }, job: Open): void {
    const index = job.tools.get(event.toolId);
    const open = at(index, 'tool');
    const end = { output: event.output, isError: event.isError, endedAt: event.at };
    job.tools.delete(event.toolId);
    if (open !== null && index !== undefined) {
      replace(index, { ...open, ...end });
      return;
    }
    const { toolId, name, at: startedAt } = event;
    const call = { toolId, name: name ?? 'tool', input: null, cut: false, startedAt };
    push({ ...commonOf(event), kind: 'tool', ...call, ...end });
  }

  /** Nothing follows in what is open. */
  function close(event: JobStoredEvent, job: Open): void {
    const text = at(job.text, 'text');
    if (text !== null && job.text !== null) replace(job.text, { ...text, streams: false });
    job.text = null;
    for (const index of job.tools.values()) {
      const tool = at(index, 'tool');
      if (tool !== null) replace(index, { ...tool, cut: true, endedAt: event.at });
    }
    job.tools.clear();
  }

  function addTool(event: JobStoredEvent & { kind: 'tool.started' }, job: Open): void {
    const { toolId, name, input, at: startedAt } = event;
    const call = { toolId, name, input, startedAt, endedAt: null };
    const open = { output: null, isError: false, cut: false };
    job.tools.set(toolId, push({ ...commonOf(event), kind: 'tool', ...call, ...open }));
  }

  function addApproval(event: JobStoredEvent & { kind: 'approval.requested' }): void {
    const { approval } = event;
    const item = { approval, status: approval.status, decidedBy: null };
    approvals.set(approval.id, push({ ...commonOf(event), kind: 'approval', ...item }));
  }

  function decide({ approvalId, status, decidedBy }: JobStoredEvent & { kind: 'approval.decided' }): void {
    const index = approvals.get(approvalId);
    const item = at(index, 'approval');
    if (item !== null && index !== undefined) replace(index, { ...item, status, decidedBy });
  }

  function finish(event: JobStoredEvent & { kind: 'job.finished' }, job: Open): void {
    close(event, job);
    const outcome = outcomeIn(event.job);
    if (outcome !== null) push({ ...commonOf(event), kind: 'end', outcome });
  }

  function addNotice(event: TranscriptEvent, common: Common): void {
    const notice = noticeOf(event);
    if (notice !== null) push({ ...common, kind: 'notice', ...notice });
  }

  function addOfJob(event: JobStoredEvent): void {
    const phase = phaseOf(event);
    if (phase !== null) {
      phases.push(phase);
      version += 1;
    }
    if (event.kind === 'execution.started') starts.set(event.executionId, event.start);
    const usage = usageIn(event);
    if (usage !== null) usages.set(`${event.jobId} ${event.attempt}`, usage);
    // Jobs of a session wait for their turn: a prompt is shown where it begins.
    if (event.kind === 'job.queued') return;
    const job = jobOf(event);
    switch (event.kind) {
      case 'text.delta':
        addDelta(event, job, event.text);
        break;
      case 'text':
        addText(event, job, event.text);
        break;
      case 'reasoning':
        push({ ...commonOf(event), kind: 'reasoning', text: event.text });
        break;
      case 'tool.started':
        addTool(event, job);
        break;
      case 'tool.ended':
        endTool(event, job);
        break;
      case 'approval.requested':
        addApproval(event);
        break;
      case 'approval.decided':
        decide(event);
        break;
      case 'message.delivered':
        addPrompt(event.messageId, event, true);
        break;
      case 'job.finished':
        finish(event, job);
        break;
      default:
        if (event.kind === 'execution.finished') close(event, job);
        addNotice(event, commonOf(event));
    }
  }

  return {
    items,
    phases,
    starts,
    usages,
    get version() {
      return version;
    },
    add(event) {
      if ('jobId' in event) addOfJob(event);
      else addNotice(event, { key: String(event.seq), jobId: '', at: event.at });
    },
    name(id, text) {
      if (names.get(id) === text) return;
      names.set(id, text);
      const index = prompts.get(id);
      const item = at(index, 'prompt');
      if (item !== null && index !== undefined) replace(index, { ...item, text });
    },
  };
}

const commonOf = ({ seq, jobId, at }: JobStoredEvent): Common => ({ key: String(seq), jobId, at });

/** The outcome in the job of `job.finished`. */
function outcomeIn(job: unknown): Outcome | null {
  const found = typeof job === 'object' && job !== null && 'outcome' in job ? job.outcome : null;
  return typeof found === 'object' && found !== null ? (found as Outcome) : null; // as: documented
}
