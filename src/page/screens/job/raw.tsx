/** The CLI's own lines of a job. */
import { useEffect, useRef, useState } from 'preact/hooks';
import type { Job } from '../../../protocol/job.ts';
import { formatBytes, formatMany } from '../../format.ts';
import { client } from '../../server.ts';
import { visibleText } from '../../transcript/hostile.ts';
import { Button } from '../../ui/button.tsx';
import { CopyButton } from '../../ui/copy.tsx';
import { download } from '../../ui/download.ts';
import { Empty, Failure, Loading } from '../../ui/states.tsx';
import { VirtualList } from '../../ui/virtual-list.tsx';

interface Line {
  readonly key: string;
  readonly text: string;
}

interface RawLog {
  readonly lines: readonly Line[];
  readonly length: number;
  readonly ended: boolean;
  readonly error: Error | null;
}

/** Reads the lines while the component is shown; renders at most once per frame. */
function useRawLines(jobId: string): RawLog {
  const lines = useRef<Line[]>([]);
  const [state, setState] = useState<Omit<RawLog, 'lines'>>({ length: 0, ended: false, error: null });
  useEffect(() => {
    const stop = new AbortController();
    lines.current = [];
    let length = 0;
    let isPlanned = false;
    const show = (changes: Partial<RawLog> = {}): void => {
      if (!stop.signal.aborted) setState((before) => ({ ...before, length, ...changes }));
    };
    const soon = (): void => {
      if (isPlanned) return;
      isPlanned = true;
      requestAnimationFrame(() => {
        isPlanned = false;
        show();
      });
    };
    async function read(): Promise<void> {
      for await (const event of client.events(jobId, { raw: true, signal: stop.signal })) {
        const text = event.kind === 'raw' ? event.line : event.raw;
        // Several events may be of one line.
        if (text === null || (event.kind !== 'raw' && text === lines.current.at(-1)?.text)) continue;
        lines.current.push({ key: String(event.seq), text });
        length += text.length + 1;
        soon();
      }
      show({ ended: true });
    }
    read().catch((error: unknown) =>
      show({ error: error instanceof Error ? error : new Error(String(error)) }),
    );
    return () => stop.abort();
  }, [jobId]);
  return { lines: lines.current, ...state };
}

/** More is not copied, but downloaded. */
const MAX_COPY = 5_000_000;

export function Raw({ job }: { readonly job: Job }) {
  const { lines, length, ended, error } = useRawLines(job.id);
  const whole = (): string => lines.map(({ text }) => `${text}\n`).join('');
  if (error !== null) return <Failure error={error} />;
  if (lines.length === 0)
    return ended || job.attempts === 0 ? (
      <Empty title="There are no lines of the CLI">
        <p>It has not run, or its events are no longer kept.</p>
      </Empty>
    ) : (
      <Loading />
    );
  return (
    <section class="raw" aria-label="Raw log">
      <header class="row">
        <span class="soft number">
          {formatMany(lines.length, 'line')}, {formatBytes(length)}
        </span>
        <span class="spread" />
        {length <= MAX_COPY && ended && <CopyButton text={whole()} what="the raw log" />}
        <Button small onPress={() => download(`${job.id}.ndjson`, 'application/x-ndjson', whole())}>
          Download
        </Button>
      </header>
      <VirtualList
        items={lines}
        keyOf={({ key }) => key}
        estimate={({ text }) => 18 * Math.min(12, Math.ceil(text.length / 130)) + 8}
        render={(line, index) => <RawLine line={line} number={index + 1} />}
        label="Lines"
        follow={!job.finished}
      />
    </section>
  );
}

const FIRST = 1500;

function RawLine({ line: { text }, number }: { readonly line: Line; readonly number: number }) {
  const [most, setMost] = useState(FIRST);
  return (
    <div class="raw-line">
      <span class="soft number" aria-hidden="true">
        {number}
      </span>
      <code>
        {visibleText(text.slice(0, most))}
        {text.length > most && (
          <button type="button" class="button small show-more" onClick={() => setMost((n) => n + 100_000)}>
            {formatMany(text.length - most, 'more character')}
          </button>
        )}
      </code>
    </div>
  );
}
