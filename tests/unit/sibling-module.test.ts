import { expect, it } from 'vitest';
import { siblingModule } from '../../src/sibling-module.ts';

it('has the extension of the importing module, in source and once built', () => {
  const urlFrom = (importer: string) => siblingModule(importer, './writer-thread').href;
  expect(urlFrom('file:///app/src/store/store.ts')).toBe('file:///app/src/store/writer-thread.ts');
  expect(urlFrom('file:///app/dist/store/store.js?v=1')).toBe('file:///app/dist/store/writer-thread.js');
});
