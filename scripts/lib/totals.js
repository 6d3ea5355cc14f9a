'use strict';

// The numbers that Jest's JSON results begin with, from its list of test files.

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

module.exports = { total };
