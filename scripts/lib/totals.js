'use strict';

// What Jest's JSON results say in sum.

// The numbers that they begin with, from the list of test files.
function total(testResults) {
  const tests = testResults.flatMap(({ assertionResults }) => assertionResults);
  const having = (wanted) => tests.filter(({ status }) => status === wanted).length;
  return {
    numPassedTests: having('passed'),
    numFailedTests: having('failed'),
    numPendingTests: having('pending'),
    numTodoTests: having('todo'),
    numRuntimeErrorTestSuites: testResults.filter(({ message }) => message).length,
    testResults,
  };
}

// Whether a test failed by its time limit, and none otherwise: so do tests on an emulator that stood still meanwhile.
function metTimeLimits({ testResults }) {
  const failures = testResults.flatMap(({ assertionResults }) => assertionResults.filter(({ status }) => status === 'failed'));
  return failures.length > 0 && failures.every(({ failureMessages }) => failureMessages.some((text) => text.includes('Exceeded timeout')));
}

module.exports = { metTimeLimits, total };
