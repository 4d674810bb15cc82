/** A table that is a list of cards on a phone, and what stands in for it until its rows have come. */
import type { ComponentChildren } from 'preact';
import type { Loaded } from '../../load.ts';
import { Failure, Loading } from '../../ui/states.tsx';

export interface DataColumn<T> {
  readonly title: string;
  readonly cell: (row: T) => ComponentChildren;
  /** Numbers are on the right. */
  readonly isNumber?: boolean;
}

interface DataTableProps<T> {
  /** Name of the table for screen readers. */
  readonly label: string;
  readonly columns: readonly DataColumn<T>[];
  readonly rows: readonly T[];
  readonly keyOf: (row: T) => string;
  /** Buttons at the end of each row. */
  readonly actions?: (row: T) => ComponentChildren;
}

/** A value that is not there. On a phone its line is left out. */
export const Nothing = ({ children = '–' }: { readonly children?: string }) => (
  <span class="soft nothing">{children}</span>
);

export function DataTable<T>({ label, columns, rows, keyOf, actions }: DataTableProps<T>) {
  return (
    <div class="card scroll-x">
      <table class="table data-table" aria-label={label}>
        <thead>
          <tr>
            {columns.map(({ title, isNumber = false }) => (
              <th key={title} scope="col" class={isNumber ? 'number' : undefined}>
                {title}
              </th>
            ))}
            {actions !== undefined && (
              <th scope="col">
                <span class="visually-hidden">Actions</span>
              </th>
            )}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={keyOf(row)}>
              {columns.map(({ title, cell, isNumber = false }) => (
                <td key={title} data-title={title} class={isNumber ? 'number' : undefined}>
                  {cell(row)}
                </td>
              ))}
              {actions !== undefined && <td class="table-actions">{actions(row)}</td>}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

interface WhenLoadedProps<T> {
  readonly loaded: Loaded<T>;
  readonly children: (data: T) => ComponentChildren;
}

/** Old data stay while they are loaded again, also in vain. */
export function WhenLoaded<T>({ loaded: { data, error, reload }, children }: WhenLoadedProps<T>) {
  if (data !== null) return <>{children(data)}</>;
  return error === null ? <Loading /> : <Failure error={error} retry={reload} />;
}
