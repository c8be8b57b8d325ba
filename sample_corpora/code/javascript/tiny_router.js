// SPDX-License-Identifier: CC0-1.0
// Matches request paths against patterns such as /books/:id/pages/*rest.

'use strict';

class Router {
  constructor() {
    this.root = Router.node();
  }

  static node() {
    return { fixed: new Map(), named: null, rest: null, handlers: new Map() };
  }

  add(method, pattern, handler) {
    let node = this.root;
    const names = [];
    for (const piece of pattern.split('/').filter(Boolean)) {
      if (piece.startsWith('*')) {
        names.push(piece.slice(1) || 'rest');
        node.rest ??= Router.node();
        node = node.rest;
        break;
      }
      if (piece.startsWith(':')) {
        names.push(piece.slice(1));
        node.named ??= Router.node();
        node = node.named;
        continue;
      }
      if (!node.fixed.has(piece)) node.fixed.set(piece, Router.node());
      node = node.fixed.get(piece);
    }
    node.handlers.set(method, { handler, names });
    return this;
  }

  find(method, path) {
    const pieces = path.split('/').filter(Boolean).map(decodeURIComponent);
    const walk = (node, index, values) => {
      if (index === pieces.length) {
        const entry = node.handlers.get(method);
        if (!entry) return null;
        return {
          handler: entry.handler,
          params: Object.fromEntries(entry.names.map((name, i) => [name, values[i]])),
        };
      }
      const piece = pieces[index];
      const exact = node.fixed.get(piece);
      return (
        (exact && walk(exact, index + 1, values)) ||
        (node.named && walk(node.named, index + 1, [...values, piece])) ||
        (node.rest && walk(node.rest, pieces.length, [...values, pieces.slice(index).join('/')])) ||
        null
      );
    };
    return walk(this.root, 0, []);
  }
}

module.exports = { Router };

if (require.main === module) {
  const router = new Router()
    .add('GET', '/books/:id', (p) => `book ${p.id}`)
    .add('GET', '/files/*path', (p) => `file ${p.path}`);
  const found = router.find('GET', '/files/a/b.txt');
  console.log(found.handler(found.params));
}
