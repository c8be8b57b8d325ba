// SPDX-License-Identifier: MIT

/** Converts between whole numbers and Roman numerals, and refuses sloppy spellings. */
public final class RomanNumerals {
    private static final int[] VALUES = {1000, 900, 500, 400, 100, 90, 50, 40, 10, 9, 5, 4, 1};
    private static final String[] SYMBOLS = {
        "M", "CM", "D", "CD", "C", "XC", "L", "XL", "X", "IX", "V", "IV", "I"
    };

    private RomanNumerals() {}

    public static String write(int number) {
        if (number < 1 || number > 3999) {
            throw new IllegalArgumentException(number + " has no Roman numeral");
        }
        StringBuilder text = new StringBuilder();
        int rest = number;
        for (int i = 0; i < VALUES.length; i++) {
            while (rest >= VALUES[i]) {
                text.append(SYMBOLS[i]);
                rest -= VALUES[i];
            }
        }
        return text.toString();
    }

    public static int read(String text) {
        int number = 0;
        int position = 0;
        for (int i = 0; i < VALUES.length; i++) {
            while (text.startsWith(SYMBOLS[i], position)) {
                number += VALUES[i];
                position += SYMBOLS[i].length();
            }
        }
        boolean complete = position == text.length() && number > 0 && number < 4000;
        if (!complete || !write(number).equals(text)) {
            throw new NumberFormatException("\"" + text + "\" is no Roman numeral");
        }
        return number;
    }

    public static void main(String[] arguments) {
        for (String argument : arguments) {
            boolean digits = argument.chars().allMatch(Character::isDigit);
            System.out.println(digits ? write(Integer.parseInt(argument)) : "" + read(argument));
        }
        for (int number = 1; number < 4000; number++) {
            if (read(write(number)) != number) {
                throw new AssertionError("round trip failed for " + number);
            }
        }
    }
}
