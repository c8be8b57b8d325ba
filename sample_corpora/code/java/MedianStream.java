// SPDX-License-Identifier: BSD-3-Clause

import java.util.Comparator;
import java.util.PriorityQueue;
import java.util.Scanner;

/** Keeps the median of a stream of numbers in two heaps that meet in the middle. */
public class MedianStream {
    private final PriorityQueue<Double> lower = new PriorityQueue<>(Comparator.reverseOrder());
    private final PriorityQueue<Double> upper = new PriorityQueue<>();

    public void add(double value) {
        if (lower.isEmpty() || value <= lower.peek()) {
            lower.add(value);
        } else {
            upper.add(value);
        }
        if (lower.size() > upper.size() + 1) {
            upper.add(lower.poll());
        } else if (upper.size() > lower.size()) {
            lower.add(upper.poll());
        }
    }

    public int size() {
        return lower.size() + upper.size();
    }

    public double median() {
        if (lower.isEmpty()) {
            throw new IllegalStateException("no values have been added");
        }
        if (lower.size() > upper.size()) {
            return lower.peek();
        }
        return (lower.peek() + upper.peek()) / 2;
    }

    public static void main(String[] arguments) {
        MedianStream stream = new MedianStream();
        try (Scanner scanner = new Scanner(System.in)) {
            while (scanner.hasNextDouble()) {
                stream.add(scanner.nextDouble());
                System.out.printf("%d values, median %.3f%n", stream.size(), stream.median());
            }
        }
    }
}
