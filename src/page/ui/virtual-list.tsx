/** A long list of which only the rows on the screen exist. Rows may have any height. */
import {
  elementScroll,
  observeElementOffset,
  observeElementRect,
  observeWindowOffset,
  observeWindowRect,
  type VirtualItem,
  Virtualizer,
  windowScroll,
} from '@tanstack/virtual-core';
import type { ComponentChildren } from 'preact';
import { useCallback, useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { Boundary } from './boundary.tsx';

interface VirtualListProps<T> {
  readonly items: readonly T[];
  keyOf(item: T, index: number): string;
  /** A guess, in pixels; each row is measured when it appears. */
  estimate(item: T, index: number): number;
  render(item: T, index: number): ComponentChildren;
  /** Name of the list for screen readers. */
  readonly label: string;
  /** `window`: the page scrolls; `own`: the list does, with the class `scroller`. Default: window. */
  readonly scroll?: 'window' | 'own';
  /** Stays at the end while rows are added, unless the reader has scrolled up. */
  readonly follow?: boolean;
  /** Rows that are on the screen stay there while rows come before them, except at the top. */
  readonly keepsPlace?: boolean;
  /** Index of the row that the keyboard is at. It comes onto the screen when this changes. */
  readonly current?: number | null;
  /** Called when the last rows are near. */
  readonly onNearEnd?: () => void;
}

/** Rows from the end of the list at which `onNearEnd` is called. */
const NEAR = 10;
/** Pixels from the end at which the reader counts as being there. */
const AT_END_PX = 80;

/** The heights of rows as lists were left: the way back leads to the same rows. */
const heights = new Map<string, VirtualItem[]>();
/** So many lists are remembered. */
const MAX_LISTS = 10;

function rememberHeights(place: string, rows: VirtualItem[]): void {
  heights.delete(place);
  heights.set(place, rows);
  const [oldest] = heights.keys();
  if (heights.size > MAX_LISTS && oldest !== undefined) heights.delete(oldest);
}

export function VirtualList<T>(props: VirtualListProps<T>) {
  const { items, keyOf, estimate, render, label, scroll = 'window', follow = false, onNearEnd } = props;
  const { current: at = null, keepsPlace = false } = props;
  const [, redraw] = useState(0);
  const list = useRef<HTMLUListElement>(null);
  const scroller = useRef<HTMLDivElement>(null);
  const atEnd = useRef(true);
  const [isAway, setAway] = useState(false);
  // The same function as long as the keys are the same: else every key is asked for in each render.
  const getItemKey = useCallback(
    (index: number) => {
      const item = items[index];
      return item === undefined ? index : keyOf(item, index);
    },
    [items],
  );
  const [place] = useState(() => `${label} ${location.pathname}${location.search}`);
  const virtual = useRef<Virtualizer<Window, Element> | Virtualizer<Element, Element> | null>(null);
  const options = {
    count: items.length,
    overscan: 8,
    estimateSize: (index: number) => {
      const item = items[index];
      return item === undefined ? 40 : estimate(item, index);
    },
    getItemKey,
    scrollMargin: scroll === 'window' ? (list.current?.offsetTop ?? 0) : 0,
    initialMeasurementsCache: heights.get(place) ?? [],
    onChange: () => redraw((n) => n + 1),
  };
  if (virtual.current === null) {
    virtual.current =
      scroll === 'window'
        ? new Virtualizer<Window, Element>({
            ...options,
            getScrollElement: () => window,
            observeElementRect: observeWindowRect,
            observeElementOffset: observeWindowOffset,
            scrollToFn: windowScroll,
            initialOffset: () => scrollY,
          })
        : new Virtualizer<Element, Element>({
            ...options,
            getScrollElement: () => scroller.current,
            observeElementRect,
            observeElementOffset,
            scrollToFn: elementScroll,
          });
  }
  const current = virtual.current;
  const isScrolled = (current.scrollOffset ?? 0) > options.scrollMargin;
  const anchorTo = keepsPlace && isScrolled ? 'end' : 'start';
  // as: only the fields that both kinds share are replaced
  current.setOptions({ ...current.options, ...options, anchorTo } as never);
  useLayoutEffect(() => current._didMount(), [current]);
  useLayoutEffect(() => () => rememberHeights(place, current.takeSnapshot()), [current, place]);
  useLayoutEffect(() => current._willUpdate());
  useLayoutEffect(() => {
    if (at !== null && at < items.length) current.scrollToIndex(at, { align: 'auto' });
  }, [current, at]);

  const rows = current.getVirtualItems();
  const last = rows.at(-1)?.index ?? 0;
  useEffect(() => {
    if (items.length > 0 && last >= items.length - NEAR) onNearEnd?.();
  }, [last, items.length, onNearEnd]);

  const toTheEnd = (): void => {
    const element = scroll === 'window' ? document.documentElement : scroller.current;
    element?.scrollTo({ top: element.scrollHeight });
  };
  useEffect(() => {
    if (!follow) return;
    const target: Window | Element | null = scroll === 'window' ? window : scroller.current;
    let last = 0;
    const look = (): void => {
      const element = scroll === 'window' ? document.documentElement : scroller.current;
      const top = element?.scrollTop ?? 0;
      // Only the reader scrolls up. The end also moves away when rows grow.
      if (distanceToEnd(element) < AT_END_PX) atEnd.current = true;
      else if (top < last) atEnd.current = false;
      last = top;
      setAway(!atEnd.current);
    };
    target?.addEventListener('scroll', look, { passive: true });
    // What is above the list grows, too.
    const sizes = new ResizeObserver(() => {
      if (atEnd.current) toTheEnd();
    });
    sizes.observe(document.body);
    return () => {
      target?.removeEventListener('scroll', look);
      sizes.disconnect();
    };
  }, [follow, scroll]);
  const size = current.getTotalSize();
  useLayoutEffect(() => {
    if (follow && atEnd.current) toTheEnd();
  }, [follow, scroll, size, items.length]);

  const body = (
    <ul ref={list} class="virtual" aria-label={label} style={{ height: `${size}px` }}>
      {rows.map(({ index, key, start }) => {
        const item = items[index];
        if (item === undefined) return null;
        return (
          <li
            key={key}
            ref={(row) => current.measureElement(row)}
            data-index={index}
            aria-setsize={items.length}
            aria-posinset={index + 1}
            style={{ transform: `translateY(${start - options.scrollMargin}px)` }}
          >
            <Boundary>{render(item, index)}</Boundary>
          </li>
        );
      })}
    </ul>
  );
  const toEnd = follow && isAway && (
    <button
      type="button"
      class="button to-end"
      onClick={() => {
        atEnd.current = true; // rows that appear on the way may be higher than was thought
        setAway(false);
        toTheEnd();
      }}
    >
      ↓ To the end
    </button>
  );
  if (scroll === 'window')
    return (
      <>
        {body}
        {toEnd}
      </>
    );
  return (
    <>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard */}
      <div ref={scroller} class="scroller" tabIndex={0}>
        {body}
      </div>
      {toEnd}
    </>
  );
}

const distanceToEnd = (element: Element | null): number =>
  element === null ? 0 : element.scrollHeight - element.scrollTop - element.clientHeight;
