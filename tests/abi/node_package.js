// Prints the exported declarations of the types of the Node package, one member a line. Usage, in bindings/node/test:
// node ../../../tests/abi/node_package.js
'use strict';

const path = require('node:path');
const ts = require(path.resolve('node_modules/typescript'));

const FILE = path.join(__dirname, '../../bindings/node/lib/index.d.ts');
const HIDDEN = ts.ModifierFlags.Private | ts.ModifierFlags.Protected;

const printer = ts.createPrinter({ removeComments: true });
const source = ts.createSourceFile(FILE, ts.sys.readFile(FILE), ts.ScriptTarget.Latest, true);

function text(node) {
  return printer.printNode(ts.EmitHint.Unspecified, node, source).replace(/\s+/g, ' ').replace(/;$/, '').replace('declare ', '');
}

/** A class or an interface is a line, and each of its members. Another declaration is one line. */
function lines(node) {
  if (!ts.isClassDeclaration(node) && !ts.isInterfaceDeclaration(node)) return [text(node)];
  const shown = node.members.filter((member) => !(ts.getCombinedModifierFlags(member) & HIDDEN));
  const head = text(node).replace(/ \{.*/, '');
  return [head, ...shown.map((member) => `${node.name.text}: ${text(member)}`)];
}

console.log([...new Set(source.statements.filter((node) => !ts.isImportDeclaration(node)).flatMap(lines))].sort().join('\n'));
