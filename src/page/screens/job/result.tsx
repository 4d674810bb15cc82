/** How a job ended: its answer, or its error and what to do about it. */
import type { Job } from '../../../protocol/job.ts';
import { formatTime } from '../../format.ts';
import { Clipped } from '../../transcript/clipped.tsx';
import { visibleText } from '../../transcript/hostile.ts';
import { Markdown } from '../../transcript/markdown.tsx';
import { jsonOf, summaryOf } from '../../transcript/tool-calls.ts';
import { CopyButton } from '../../ui/copy.tsx';
import { errorWords } from '../../ui/error-words.ts';
import { Empty } from '../../ui/states.tsx';
import { adviceOn } from './advice.ts';

export function Result({ job: { outcome } }: { readonly job: Job }) {
  if (outcome === null)
    return (
      <Empty title="There is no result yet">
        <p>It appears here when the job has ended. The transcript shows what it does now.</p>
      </Empty>
    );
  const { error, text, textTruncated, structured, permissionDenials } = outcome;
  const advice = error === null ? null : adviceOn(error.code);
  return (
    <div class="stack">
      {error !== null && (
        <section class="notice bad" aria-label="Error">
          <p class="row">
            <strong>{errorWords(error.code)}</strong>
            <code>{visibleText(error.code)}</code>
          </p>
          {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard */}
          <p class="message" tabIndex={0}>
            {visibleText(error.message)}
          </p>
          {error.resetsAt !== null && <p>Open again at {formatTime(error.resetsAt)}.</p>}
          {advice !== null && <p class="advice">{advice}</p>}
        </section>
      )}
      {text !== '' && (
        <section class="card" aria-labelledby="answer">
          <header>
            <h2 id="answer">Answer</h2>
            <span class="spread" />
            <CopyButton text={text} what="the answer" />
          </header>
          <div class="inside">
            <Markdown text={text} />
            {textTruncated && <p class="notice warn">The text was too long to keep; its end is missing.</p>}
          </div>
        </section>
      )}
      {structured !== null && (
        <section class="card" aria-labelledby="structured">
          <header>
            <h2 id="structured">Structured output</h2>
            <span class="spread" />
            <CopyButton text={jsonOf(structured)} what="the structured output" />
          </header>
          <div class="inside">
            <Clipped text={jsonOf(structured)} />
          </div>
        </section>
      )}
      {permissionDenials.length > 0 && (
        <section class="card" aria-labelledby="denials">
          <header>
            <h2 id="denials">Denied calls</h2>
          </header>
          <ul class="denials inside">
            {permissionDenials.map(({ tool, input }, index) => (
              <li key={index}>
                <strong>{visibleText(tool)}</strong> <span class="mono soft">{summaryOf(tool, input)}</span>
              </li>
            ))}
          </ul>
        </section>
      )}
      {error === null && text === '' && structured === null && (
        <Empty title="The job ended without a text">
          <p>The transcript shows what it did.</p>
        </Empty>
      )}
    </div>
  );
}
