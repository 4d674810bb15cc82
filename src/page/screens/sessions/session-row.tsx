/** One session of the list. */
import { useEffect, useRef, useState } from 'preact/hooks';
import type { Session } from '../../../protocol/session.ts';
import { formatCost, formatNumber } from '../../format.ts';
import { may } from '../../server.ts';
import { visibleText } from '../../transcript/hostile.ts';
import { Button } from '../../ui/button.tsx';
import { SessionStatusBadge } from '../../ui/status.tsx';
import { Ago } from '../../ui/time.tsx';
import { EndDialog } from './end-dialog.tsx';
import { fork } from './fork.ts';
import { nameOf, placeOf } from './names.ts';

interface SessionRowProps {
  readonly session: Session;
  /** Whether the keys have chosen it. */
  readonly at: boolean;
  readonly onFocus: () => void;
  readonly onChange: () => void;
}

export function SessionRow({ session, at, onFocus, onChange }: SessionRowProps) {
  const row = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const { current: own } = row;
    if (at && own !== null && !own.contains(document.activeElement))
      own.querySelector('a')?.focus({ preventScroll: true });
  }, [at]);
  const { kind, status, provider, model, cwd, turns, usage, tags, matchedLine, lastActivityAt } = session;
  const name = nameOf(session);
  return (
    <div
      ref={row}
      class={at ? 'session-row at' : 'session-row'}
      aria-current={at || undefined}
      onFocusIn={onFocus}
    >
      <div class="what">
        <a class="clip" href={placeOf(session)} title={name}>
          {name}
        </a>
        <span class="soft clip">
          {matchedLine !== null ? (
            <>waits for: {visibleText(matchedLine)}</>
          ) : (
            <>
              {kind}
              {tags.map((tag) => (
                <a key={tag} class="tag" href={`/sessions?tag=${encodeURIComponent(tag)}`}>
                  {visibleText(tag)}
                </a>
              ))}
            </>
          )}
        </span>
      </div>
      <SessionStatusBadge status={status} />
      <span class="clip" title={model ?? undefined}>
        {provider}
        {model !== null && <span class="soft"> {model}</span>}
      </span>
      <span class="mono clip soft" title={cwd}>
        {visibleText(cwd)}
      </span>
      <span class="number">{kind === 'terminal' ? '' : formatNumber(turns)}</span>
      <span class="number">{kind === 'terminal' ? '' : formatCost(usage?.costUsd ?? null)}</span>
      <span class="number soft">
        <Ago at={lastActivityAt} />
      </span>
      {may('sessions:write') && <Actions session={session} onChange={onChange} />}
    </div>
  );
}

function Actions({ session, onChange }: Pick<SessionRowProps, 'session' | 'onChange'>) {
  const [ends, setEnds] = useState<'close' | 'delete' | null>(null);
  const { id, kind, status, nativeSessionId } = session;
  const name = nameOf(session);
  const isTerminal = kind === 'terminal';
  const over = status === 'closed' || (isTerminal && status === 'failed');
  return (
    <div class="row-actions">
      {!isTerminal && nativeSessionId !== null && (
        <Button small look="plain" label={`Fork ${name}`} onPress={() => fork(id)}>
          Fork
        </Button>
      )}
      <Button
        small
        look="plain"
        label={`${over ? 'Delete' : 'Close'} ${name}`}
        onPress={() => setEnds(over ? 'delete' : 'close')}
      >
        {over ? 'Delete' : 'Close'}
      </Button>
      {ends !== null && (
        <EndDialog session={session} what={ends} onClose={() => setEnds(null)} onDone={onChange} />
      )}
    </div>
  );
}
