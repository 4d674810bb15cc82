/** What a job asks for, in the form that a person reads: a command, a change of a file, a plan. */
import { useMemo } from 'preact/hooks';
import type { Approval } from '../../../protocol/approval.ts';
import { Clipped } from '../../transcript/clipped.tsx';
import { spelledOut } from '../../transcript/hostile.ts';
import { Markdown } from '../../transcript/markdown.tsx';
import { changesOf, fieldsInChanges, jsonOf } from '../../transcript/tool-calls.ts';
import { Changes } from '../../transcript/tool-view.tsx';
import { commandOf } from './rule.ts';
import '../../transcript/transcript.css';

/** What the job wants, as the title of its card. */
export function titleOf({ kind, tool, input, questions }: Approval): string {
  if (kind === 'question')
    return questions?.length === 1 ? 'A question' : `${questions?.length ?? 0} questions`;
  if (kind === 'plan') return 'A plan to approve';
  if (commandOf(input) !== null) return `${spelledOut(tool)} wants to run`;
  if (changesOf(tool, input) !== null) return `${spelledOut(tool)} wants to change a file`;
  return `${spelledOut(tool)} wants to run with`;
}

/** No field of the input is left out. */
export function ApprovalView({ approval }: { readonly approval: Approval }) {
  const { kind, tool, input } = approval;
  const changes = useMemo(() => changesOf(tool, input), [tool, input]);
  const command = commandOf(input);
  if (kind === 'plan') {
    const { plan, ...rest } = fieldsOf(input);
    if (typeof plan === 'string')
      return (
        <>
          <div class="plan">
            <Markdown text={spelledOut(plan)} />
          </div>
          <Rest fields={rest} />
        </>
      );
  }
  if (changes !== null)
    return (
      <>
        <Changes changes={changes} />
        <Rest fields={without(fieldsOf(input), fieldsInChanges(tool, input))} />
      </>
    );
  if (command !== null)
    return (
      <>
        <Clipped text={spelledOut(command)} />
        <Rest fields={without(fieldsOf(input), ['command'])} />
      </>
    );
  return <Clipped text={spelledOut(jsonOf(input))} />;
}

type Fields = Readonly<Record<string, unknown>>;
const fieldsOf = (input: unknown): Fields =>
  typeof input === 'object' && input !== null && !Array.isArray(input) ? { ...input } : { input };
const without = (fields: Fields, names: readonly string[]): Fields =>
  Object.fromEntries(Object.entries(fields).filter(([name]) => !names.includes(name)));

function Rest({ fields }: { readonly fields: Fields }) {
  const rows = Object.entries(fields).filter(([, value]) => value !== null && value !== undefined);
  if (rows.length === 0) return null;
  return (
    <dl class="facts">
      {rows.map(([name, value]) => (
        <>
          <dt>{spelledOut(name)}</dt>
          <dd>{spelledOut(jsonOf(value))}</dd>
        </>
      ))}
    </dl>
  );
}
