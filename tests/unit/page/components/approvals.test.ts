// Before the modules of the page.
import '../../../helpers/page-document.ts';
import { h } from 'preact';
import { describe, expect, it } from 'vitest';
import { exampleApproval } from '../../../../src/http/examples.ts';
import { ApprovalView, titleOf } from '../../../../src/page/screens/inbox/approval-view.tsx';
import { Questions } from '../../../../src/page/screens/inbox/questions.tsx';
import type { Approval } from '../../../../src/protocol/approval.ts';
import { eventually } from '../../../helpers/eventually.ts';
import { usePage } from '../../../helpers/page-document.ts';

const page = usePage();
const approval = (fields: Partial<Approval>): Approval => ({ ...exampleApproval, ...fields });
async function shown(fields: Partial<Approval>): Promise<string> {
  await page.show(h(ApprovalView, { approval: approval(fields) }));
  return page.body.textContent;
}

/** A terminal, a progress bar or a browser would show something else. */
const HIDDEN = [
  'rm -rf ~ #\rls -la',
  'npm test \x1b]\nrm -rf ~',
  ...['P', 'X', '^', '_'].map((kind) => `npm test \x1b${kind}\nrm -rf ~`),
  'ls \x1b];rm -rf ~;\x07',
  'ls \x9b;rm -rf ~',
  'ls \x1b[31;8m;rm -rf ~',
  'ls \u202e;rm -rf ~',
  'ls\u2028rm -rf ~',
];

describe('what a person decides on is shown as it is', () => {
  it.each(HIDDEN)('a command, a field, a change, a plan: %j', async (text) => {
    const unseen = /[^\P{Cc}\t\n]|[\u202a-\u202e\u2028]/u;
    for (const fields of [
      { input: { command: text } },
      { input: { command: 'ls', [text]: 1 } },
      { input: { command: 'ls', description: text } },
      { tool: 'WebFetch', input: { prompt: text } },
      { tool: 'WebFetch', input: text },
      { tool: 'Write', input: { file_path: 'a', content: text } },
      { tool: 'Write', input: { file_path: text, content: 'a' } },
      { tool: 'Edit', input: { file_path: 'a', old_string: text, new_string: '' } },
      { kind: 'plan', input: { plan: text } },
      { kind: 'plan', input: { plan: 'a', more: text } },
    ] as const) {
      const all = await shown(fields);
      expect(all, JSON.stringify(fields)).toContain('rm -rf ~');
      expect(all).not.toMatch(unseen);
    }
    expect(titleOf(approval({ tool: text, input: null }))).toContain('rm -rf ~');
    const question = {
      question: text,
      header: text,
      multiSelect: false,
      options: [{ label: text, description: text }],
    };
    const given = { id: 'q', answers: [], onChange() {}, disabled: false };
    await page.show(h(Questions, { ...given, questions: [question] }));
    expect(page.body.textContent.split('rm -rf ~')).toHaveLength(5);
    expect(page.body.textContent).not.toMatch(unseen);
  });

  it('each part of a plan that Markdown would leave out', async () => {
    const plan = [
      ...['[a]: http://x.invalid "rm one"', '', '[b](http://x.invalid "rm two")', ''],
      ...['```sh rm three', 'ls', '```', '', '| a |', '|---|', '| b | rm four |', '', '<!-- rm five -->'],
    ].join('\n');
    const all = await shown({ kind: 'plan', input: { plan } });
    for (const word of ['one', 'two', 'three', 'four', 'five']) expect(all).toContain(`rm ${word}`);
  });

  it('what happens to a file beside its lines, and each field that its lines do not show', async () => {
    const edit = { file_path: 'a', old_string: 'b', new_string: 'c' };
    const patch = '*** Begin Patch\n*** Update File: a\n@@\n-b\n*** End Patch';
    const change = { path: 'a', diff: '@@\n-b\n', kind: { type: 'update', move_path: 'HIDDEN' } };
    for (const [tool, input] of [
      ['Edit', { ...edit, path: 'HIDDEN' }],
      ['Edit', { ...edit, content: 'HIDDEN' }],
      ['Edit', { ...edit, patch: 'HIDDEN' }],
      ['MultiEdit', { file_path: 'a', old_string: 'HIDDEN', edits: [edit] }],
      ['MultiEdit', { file_path: 'a', edits: [{ ...edit, more: 'HIDDEN' }] }],
      ['apply_patch', { patch: `HIDDEN\n${patch}` }],
      ['apply_patch', { input: patch.replace('@@', '*** HIDDEN') }],
      ['file_change', { changes: [change] }],
      ['file_change', { changes: [{ ...change, kind: 'HIDDEN' }] }],
      ['file_change', { changes: [{ ...change, kind: null, more: 'HIDDEN' }] }],
      ['file_change', { changes: [{ ...change, kind: null }, 'HIDDEN'] }],
      ['file_change', { changes: [{ ...change, kind: null, unified_diff: 'HIDDEN' }] }],
    ] as const)
      expect(await shown({ tool, input }), JSON.stringify(input)).toContain('HIDDEN');
  });

  it('a long line, which says how much more there is', async () => {
    const content = `ls${' '.repeat(3000)}; rm -rf ~`;
    expect(await shown({ tool: 'Write', input: { file_path: 'a', content } })).not.toContain('rm -rf ~');
    page.body.find('button', 'Show 1,012 more characters').send('click');
    await eventually(() => page.body.textContent.includes('rm -rf ~'));
  });
});
