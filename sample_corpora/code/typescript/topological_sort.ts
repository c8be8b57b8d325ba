// SPDX-License-Identifier: BSD-3-Clause
// Puts tasks into an order in which each one comes after those it depends on.

export class CycleError extends Error {
  constructor(readonly cycle: string[]) {
    super(`these tasks wait for each other: ${cycle.join(' -> ')}`);
    this.name = 'CycleError';
  }
}

type Mark = 'open' | 'done';

export function topologicalSort(dependencies: Record<string, string[]>): string[] {
  const marks = new Map<string, Mark>();
  const order: string[] = [];
  const trail: string[] = [];

  const visit = (task: string): void => {
    const mark = marks.get(task);
    if (mark === 'done') return;
    if (mark === 'open') {
      throw new CycleError([...trail.slice(trail.indexOf(task)), task]);
    }
    marks.set(task, 'open');
    trail.push(task);
    for (const needed of dependencies[task] ?? []) visit(needed);
    trail.pop();
    marks.set(task, 'done');
    order.push(task);
  };

  // Sorted names make the outcome independent of the order in which they were declared.
  Object.keys(dependencies).sort().forEach(visit);
  return order;
}

/** Groups the tasks into waves; all tasks of one wave may run side by side. */
export function waves(dependencies: Record<string, string[]>): string[][] {
  const level = new Map<string, number>();
  for (const task of topologicalSort(dependencies)) {
    const needed = dependencies[task] ?? [];
    level.set(task, needed.reduce((most, name) => Math.max(most, (level.get(name) ?? 0) + 1), 0));
  }
  const result: string[][] = [];
  for (const [task, wave] of level) (result[wave] ??= []).push(task);
  return result;
}
