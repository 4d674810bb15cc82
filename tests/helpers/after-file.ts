/** Runs for each test file, also where one process runs many. */
import { afterAll } from 'vitest';
import { endFile } from './shared.ts';

afterAll(endFile);
