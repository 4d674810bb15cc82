/** What a chat was made with, and what it has used. */
import type { Session } from '../../../protocol/session.ts';
import { formatCost, formatCount, formatNumber, shortId } from '../../format.ts';
import { visibleText } from '../../transcript/hostile.ts';
import { CopyButton } from '../../ui/copy.tsx';
import { Ago } from '../../ui/time.tsx';

export function ChatFacts({ session }: { readonly session: Session }) {
  const { id, provider, model, cwd, turns, usage, forkedFrom, createdAt, principal, node, tags } = session;
  return (
    <aside class="chat-facts" aria-label="Facts">
      <dl class="facts">
        <dt>Provider</dt>
        <dd>{provider}</dd>
        <dt>Model</dt>
        <dd>{model ?? 'its default'}</dd>
        <dt>Folder</dt>
        <dd class="mono">{visibleText(cwd)}</dd>
        <dt>Turns</dt>
        <dd class="number">{formatNumber(turns)}</dd>
        {usage !== null && (
          <>
            <dt>Cost</dt>
            <dd class="number">{formatCost(usage.costUsd)}</dd>
            <dt>Tokens</dt>
            <dd class="number">
              {formatCount(usage.inputTokens ?? 0)} in, {formatCount(usage.outputTokens ?? 0)} out
            </dd>
          </>
        )}
        {forkedFrom !== null && (
          <>
            <dt>Forked from</dt>
            <dd>
              <a href={`/sessions/${forkedFrom}`}>{shortId(forkedFrom)}</a>
            </dd>
          </>
        )}
        {tags.length > 0 && (
          <>
            <dt>Tags</dt>
            <dd class="row">
              {tags.map((tag) => (
                <a key={tag} class="tag" href={`/sessions?tag=${encodeURIComponent(tag)}`}>
                  {visibleText(tag)}
                </a>
              ))}
            </dd>
          </>
        )}
        <dt>Begun</dt>
        <dd>
          <Ago at={createdAt} /> by {visibleText(principal)}
        </dd>
        {node !== null && (
          <>
            <dt>Server</dt>
            <dd class="mono clip" title={node}>
              {shortId(node)}
            </dd>
          </>
        )}
        <dt>Id</dt>
        <dd class="row">
          <span class="mono clip">{shortId(id)}</span>
          <CopyButton text={id} what="the id" />
        </dd>
      </dl>
    </aside>
  );
}
