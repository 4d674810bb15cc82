/** A transcript: texts, folded reasoning and tool calls, and what else happened, as it comes. */
import { memo } from 'preact/compat';
import { useCallback, useRef, useState } from 'preact/hooks';
import { formatCost, formatDuration, formatMany, formatShortTime, formatTime } from '../format.ts';
import { JobStatusBadge } from '../ui/status.tsx';
import { VirtualList } from '../ui/virtual-list.tsx';
import { Clipped } from './clipped.tsx';
import { visibleText } from './hostile.ts';
import { Markdown } from './markdown.tsx';
import { summaryOf } from './tool-calls.ts';
import { ToolCall } from './tool-view.tsx';
import type { ApprovalItem, EndItem, Item, NoticeItem, PromptItem, ReasoningItem } from './transcript.ts';
import './transcript.css';

interface TranscriptProps {
  readonly items: readonly Item[];
  /** Stays at the end while items come, unless the reader has scrolled up. */
  readonly follow: boolean;
  /** Who scrolls, as of a virtual list. */
  readonly scroll?: 'window' | 'own';
}

export function Transcript({ items, follow, scroll = 'window' }: TranscriptProps) {
  const open = useRef(new Set<string>());
  const [, redraw] = useState(0);
  const toggle = useCallback((key: string): void => {
    if (!open.current.delete(key)) open.current.add(key);
    redraw((n) => n + 1);
  }, []);
  return (
    <div class="transcript">
      <h2 class="visually-hidden">Transcript</h2>
      <VirtualList
        items={items}
        keyOf={({ key }) => key}
        estimate={estimateOf}
        render={(item) => <Row item={item} isOpen={open.current.has(item.key)} toggle={toggle} />}
        label="Transcript"
        scroll={scroll}
        follow={follow}
      />
    </div>
  );
}

/** Pixels of a row before it is measured. */
function estimateOf(item: Item): number {
  if (item.kind === 'text' || item.kind === 'prompt')
    return 24 + 22 * Math.ceil(Math.min(item.text?.length ?? 0, 8000) / 90);
  return item.kind === 'approval' ? 64 : 34;
}

interface RowProps {
  readonly item: Item;
  readonly isOpen: boolean;
  readonly toggle: (key: string) => void;
}

const Row = memo(({ item, isOpen, toggle }: RowProps) => {
  const own = (): void => toggle(item.key);
  switch (item.kind) {
    case 'prompt':
      return <Prompt item={item} />;
    case 'text':
      return (
        <div class="said">
          <Markdown text={item.text} />
        </div>
      );
    case 'reasoning':
      return <Reasoning item={item} isOpen={isOpen} toggle={own} />;
    case 'tool':
      return <ToolCall item={item} isOpen={isOpen} toggle={own} />;
    case 'approval':
      return <Asked item={item} />;
    case 'notice':
      return <Notice item={item} />;
    case 'end':
      return <End item={item} />;
  }
});

function Prompt({ item }: { readonly item: PromptItem }) {
  return (
    <div class="prompt">
      <p class="by">
        {item.steered ? 'Message into the running turn' : 'Prompt'}
        <Clock at={item.at} />
      </p>
      {item.text === null ? (
        <p class="soft">{item.steered ? 'It was delivered.' : '…'}</p>
      ) : (
        <LongText text={item.text} />
      )}
    </div>
  );
}

const MAX_PROMPT = 4000;

/** A text of a person: as it was written. */
const LongText = ({ text }: { readonly text: string }) =>
  text.length > MAX_PROMPT ? (
    <Clipped text={visibleText(text)} />
  ) : (
    <p class="written own-direction">{visibleText(text)}</p>
  );

function Clock({ at }: { readonly at: string }) {
  return (
    <time class="at number" dateTime={at} title={formatTime(at)}>
      {formatShortTime(at)}
    </time>
  );
}

interface FoldProps {
  readonly item: ReasoningItem;
  readonly isOpen: boolean;
  readonly toggle: () => void;
}

function Reasoning({ item, isOpen, toggle }: FoldProps) {
  const first = visibleText(item.text.slice(0, 300))
    .trim()
    .replace(/[*_#`]/g, '')
    .replace(/\s+/g, ' ');
  return (
    <div class={isOpen ? 'tool reasoning open' : 'tool reasoning'}>
      <button type="button" class="tool-line" aria-expanded={isOpen} onClick={toggle}>
        <span class="turn" aria-hidden="true" />
        <span class="tool-name">Reasoning</span>
        {!isOpen && <span class="tool-summary clip">{first}</span>}
      </button>
      {isOpen && (
        <div class="tool-body">
          <Markdown text={item.text} />
        </div>
      )}
    </div>
  );
}

const DECISIONS = {
  pending: 'waits for an answer',
  allowed: 'was allowed',
  denied: 'was denied',
  expired: 'got no answer in time',
  cancelled: 'is no longer needed',
};

function Asked({ item: { approval, status, decidedBy } }: { readonly item: ApprovalItem }) {
  const what = { tool: approval.tool, question: 'A question', plan: 'A plan' }[approval.kind];
  const question = approval.questions?.map((one) => one.question).join(' ');
  const by = decidedBy === null ? '' : ` by ${decidedBy}`;
  return (
    <div class={`line ${status === 'pending' || status === 'denied' ? 'warn' : 'info'}`}>
      <p>
        <strong>{visibleText(what)}</strong> {DECISIONS[status]}
        {visibleText(by)} {status === 'pending' && <a href="#pending">Answer it</a>}
      </p>
      <p class="detail mono">{visibleText(question ?? summaryOf(approval.tool, approval.input))}</p>
    </div>
  );
}

function Notice({ item: { tone, text, detail, at } }: { readonly item: NoticeItem }) {
  return (
    <div class={`line ${tone}`}>
      <p>
        {visibleText(text)} <Clock at={at} />
      </p>
      {detail !== null && <p class="detail">{visibleText(detail.slice(0, MAX_PROMPT))}</p>}
    </div>
  );
}

function End({ item: { outcome } }: { readonly item: EndItem }) {
  const facts = [
    outcome.durationMs === null ? null : formatDuration(outcome.durationMs),
    outcome.turns === null ? null : formatMany(outcome.turns, 'turn'),
    outcome.usage === null ? null : formatCost(outcome.usage.costUsd),
  ].filter((fact) => fact !== null);
  return (
    <div class="end">
      <p class="row">
        <JobStatusBadge status={outcome.status} />
        <span class="soft number">{facts.join(' · ')}</span>
      </p>
      {/* Else the notice of its last execution says it. */}
      {outcome.error !== null && outcome.executionId === null && (
        <p class="detail">{visibleText(outcome.error.message)}</p>
      )}
    </div>
  );
}
