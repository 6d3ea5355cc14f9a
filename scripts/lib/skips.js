'use strict';

// Which skips of the contract suite are agreed on: test/contract/expected-skips.json has a list for each kind of host, as hosts.ts names
// them in the titles it makes. A test that is skipped and not listed has silently stopped testing.

const KINDS = ['null', 'software KVM', 'hardware KVM', 'no KVM', 'software HAXM', 'hardware HAXM', 'no HAXM'];
const ABSENT = ['no KVM', 'no HAXM']; // nothing to hold to a list; HAX_REQUIRE_KVM=1 makes it a failure

// The kind of host that a test is for, and its name without it.
function identify({ ancestorTitles, title }) {
  const kind = ancestorTitles.find((each) => KINDS.includes(each));
  return { kind, name: [...ancestorTitles.filter((each) => each !== kind), title].join(' › ') };
}

function skippedTests(results) {
  return results.testResults.flatMap((file) => file.assertionResults.filter(({ status }) => status === 'pending' || status === 'todo'));
}

// The files of Jest's results in which something was skipped.
function filesWithSkips(results) {
  return results.testResults.filter((file) => skippedTests({ testResults: [file] }).length > 0).map(({ name }) => name);
}

// The skips in Jest's results that are on no list, as { kind, name }.
function unexpectedSkips(results, lists) {
  return skippedTests(results)
    .map(identify)
    .filter(({ kind, name }) => !ABSENT.includes(kind) && !lists[kind]?.includes(name));
}

// How often each reason was given, `name [skipped: reason]`; a skip without a reason is told by its name.
function skipReasons(results) {
  const reasons = new Map();
  for (const test of skippedTests(results)) {
    const reason = /\[skipped: (.*)\]$/.exec(test.title)?.[1] ?? `no reason given: ${test.fullName}`;
    reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
  }
  return reasons;
}

module.exports = { filesWithSkips, skipReasons, unexpectedSkips };
